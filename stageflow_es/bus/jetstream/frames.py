"""Messages as protocol frames: bytes in, bytes out. nats-py's own publish costs more than a group commit can afford."""

from __future__ import annotations

from collections.abc import Sequence

_HEADER = b"NATS/1.0\r\n"

Message = tuple[bytes, bytes, bytes]
"""Subject, header lines (each with its end), payload."""


def frame(subject: bytes, reply: bytes, headers: bytes, payload: bytes) -> bytes:
    """One message with headers."""
    size = len(_HEADER) + len(headers) + 2
    return b"HPUB %b %b %d %d\r\n%b%b\r\n%b\r\n" % (
        subject, reply, size, size + len(payload), _HEADER, headers, payload,
    )  # fmt: skip


def atomic_batch(messages: Sequence[Message], batch_id: bytes, reply: bytes) -> bytes:
    """An atomic batch; its last message commits it, and only that one is answered."""
    frames = bytearray()
    last = len(messages)
    for number, (subject, headers, payload) in enumerate(messages, 1):
        lines = b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n%b" % (batch_id, number, headers)
        if number < last:
            frames += frame(subject, b"", lines, payload)
        else:
            frames += frame(subject, reply, lines + b"Nats-Batch-Commit: 1\r\n", payload)
    return bytes(frames)
