"""Messages as protocol frames: bytes in, bytes out. nats-py's own publish costs more than a group commit can afford."""

from __future__ import annotations

from collections.abc import Sequence

_AROUND = len(b"NATS/1.0\r\n\r\n")
"""Bytes of a header block beside its lines."""

Message = tuple[bytes, bytes, bytes]
"""Subject, header lines (each with its end), payload."""


def frame(subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> bytes:
    """One message with headers."""
    size = _AROUND + len(headers)
    return b"HPUB %b %b %d %d\r\nNATS/1.0\r\n%b\r\n%b\r\n" % (
        subject, reply, size, size + len(payload), headers, payload,
    )  # fmt: skip


def atomic_batch(messages: Sequence[Message], batch_id: bytes, reply: bytes) -> bytes:
    """An atomic batch; its last message commits it, and only that one is answered."""
    member = b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: " % batch_id
    answer = b""
    frames = []
    for number, (subject, headers, payload) in enumerate(messages, 1):
        headers = b"%b%d\r\n%b" % (member, number, headers)
        if number == len(messages):
            answer = reply
            headers += b"Nats-Batch-Commit: 1\r\n"
        frames.append(frame(subject, answer, headers, payload))
    return b"".join(frames)
