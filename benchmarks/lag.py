"""How far the projection is behind the events, in seconds, while something else goes on."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from bisect import bisect_right
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.rig import Rig

LOOK = 0.05
"""Seconds between two looks, and so what it may be wrong by."""


def position(path: Path) -> int:
    """The stream sequence a projection's file has come to; 0: there is none yet."""
    with suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT seq FROM checkpoint").fetchone()[0])
        finally:
            connection.close()
    return 0


class Lag:
    """Looks while its block runs. `most`: the longest an event that was seen on the bus was not in the file."""

    def __init__(self, rig: Rig) -> None:
        self.most = 0.0
        self._rig = rig
        self._times: list[float] = []
        self._events: list[int] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            stored = position(self._rig.projection)
            now, seen = time.perf_counter(), self._rig.load.events
            self._times.append(now)
            self._events.append(seen)
            missing = bisect_right(self._events, stored)  # the first look that saw what is not in the file
            if missing < len(self._times):
                self.most = max(self.most, now - self._times[missing])
            await asyncio.sleep(LOOK)
