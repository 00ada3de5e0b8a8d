"""What a session's actor asks of the log, and how it is told: one append."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from stageflow_es.engine.ports import BusError


class Append(msgspec.Struct, eq=False):
    """Events of one session that are to be stored together, `size` bytes of them, and the answer to whoever asked for
    it. Made in a running event loop."""

    session: str
    subject: bytes
    events: Sequence[bytes]
    expected: int
    size: int
    answer: asyncio.Future[int] = msgspec.field(default_factory=asyncio.Future)

    @property
    def what(self) -> str:
        """For whoever reads of an error."""
        return f"session {self.session}: append"

    def stored(self, last: int) -> None:
        """`last`: the sequence of its last event."""
        if not self.answer.done():
            self.answer.set_result(last)

    def failed(self, error: BusError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


def behind(sequence: int) -> bytes:
    """The header of an event that is stored only if this is the sequence of its session's last one."""
    return b"Nats-Expected-Last-Subject-Sequence: %d\r\n" % sequence
