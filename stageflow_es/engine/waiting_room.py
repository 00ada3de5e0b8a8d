"""Stage runs that wait, for as long as they may do so in memory: an input that comes soon finds its stage still there.

One that waits longer than `after` seconds is parked, and so are those that wait longest when more than `room` do: a
flood of sessions that wait takes no more memory than that.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Waiting(Protocol):
    """Something that waits and can be taken out of memory."""

    def park(self) -> None: ...


class WaitingRoom:
    """All that wait in one engine, the longest first. `after`: seconds; infinity: for ever."""

    def __init__(self, after: float, room: int) -> None:
        self._after = after
        self._room = room
        self._until: dict[Waiting, float] = {}
        self._look_again: asyncio.Handle | None = None
        self._crowded = False

    def __contains__(self, run: Waiting) -> bool:
        return run in self._until

    def enter(self, run: Waiting) -> None:
        """The run waits, from now on."""
        if self._after == float("inf"):
            return
        loop = asyncio.get_running_loop()
        self._until.pop(run, None)
        self._until[run] = loop.time() + self._after
        if len(self._until) > self._room and not self._crowded:
            self._crowded = True
            self._schedule(0)
        elif self._look_again is None:
            self._schedule(self._after)

    def leave(self, run: Waiting) -> None:
        """The run waits no longer, or is gone."""
        self._until.pop(run, None)

    def close(self) -> None:
        """Nobody is parked any more."""
        self._until.clear()
        if self._look_again is not None:
            self._look_again.cancel()
            self._look_again = None

    def _schedule(self, seconds: float) -> None:
        if self._look_again is not None:
            self._look_again.cancel()
        self._look_again = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        """Park whoever has waited long enough, or longest where there is no room for all."""
        self._look_again = None
        self._crowded = False
        now = asyncio.get_running_loop().time()
        while self._until:
            run = next(iter(self._until))
            left = self._until[run] - now
            if left > 0 and len(self._until) <= self._room:
                self._schedule(left)
                return
            del self._until[run]
            run.park()
