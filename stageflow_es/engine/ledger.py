"""How far a partition's log has been dealt with: what was read and is not yet handled, and the floor below both.

The floor is the last message of an unbroken run that was handled. See the rules in `checkpointing`.
"""

from __future__ import annotations

import asyncio


class Ledger:
    """One log of one partition. `read` is the last sequence read; messages read and not handled yet are open."""

    def __init__(self, floor: int, limit: int) -> None:
        self.read = floor
        self._limit = limit
        self._open: dict[int, None] = {}
        self._room = asyncio.Event()
        self._room.set()

    def began(self, seq: int) -> None:
        """A message was read. Messages come in order."""
        self.read = seq
        self._open[seq] = None
        if len(self._open) >= self._limit:
            self._room.clear()

    def handled(self, seq: int) -> None:
        """A message was dealt with for good."""
        self._open.pop(seq, None)
        if len(self._open) < self._limit:
            self._room.set()

    async def room(self) -> None:
        """Wait until so few messages are open that more may be read."""
        await self._room.wait()

    @property
    def unsettled(self) -> int:
        """How many messages are open."""
        return len(self._open)

    @property
    def floor(self) -> int:
        for seq in self._open:
            return seq - 1
        return self.read
