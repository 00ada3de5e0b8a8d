"""A stage's timeout: it bounds the time the stage runs, not the time it is parked or waits for the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 5.0
"""Seconds for a stage to end, of itself, after its time was over: it may have to clear up. They go on while it waits
for something recorded."""


class Stopwatch:
    """Calls `expire` once after `limit` seconds of running, and `overdue` when it was not ended `PATIENCE` after that;
    None: never."""

    __slots__ = ("_expire", "_handle", "_left", "_overdue", "_patience", "_pauses", "_since", "expired")

    def __init__(self, limit: float | None, expire: Callable[[], None], overdue: Callable[[], None]) -> None:
        self.expired = False
        self._left = limit
        self._expire = expire
        self._overdue = overdue
        self._patience: asyncio.TimerHandle | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._since = 0.0
        self._pauses = 0

    def start(self) -> None:
        if self._left is not None and self._handle is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._handle = loop.call_later(max(self._left, 0.0), self._ring)

    def stop(self) -> None:
        if self._handle is not None and self._left is not None:
            self._handle.cancel()
            self._handle = None
            self._left -= asyncio.get_running_loop().time() - self._since

    def end(self) -> None:
        """Stop for good: a pause that ends later does not start it again."""
        self.stop()
        self._left = None
        if self._patience is not None:
            self._patience.cancel()

    def _ring(self) -> None:
        self._handle = None
        self.expired = True
        self._patience = asyncio.get_running_loop().call_later(PATIENCE, self._overdue)
        self._expire()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still inside the block."""
        self._pauses += 1
        self.stop()
        try:
            yield
        finally:
            self._pauses -= 1
            if not self._pauses and not self.expired:
                self.start()

    @contextmanager
    def paused_if(self, condition: bool) -> Iterator[None]:
        if not condition:
            yield
            return
        with self.paused():
            yield
