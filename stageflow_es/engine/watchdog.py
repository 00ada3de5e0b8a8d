"""Finds the stage that holds up everybody: one that works or blocks on the event loop without ever awaiting."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import Protocol

from stageflow_es.log import logger

log = logger(__name__)

LAST = 100
"""Reports that are kept."""


class Named(Protocol):
    """Something that runs, by name."""

    @property
    def name(self) -> str: ...


class Watched:
    """`doing`: what runs just now on the event loop without awaiting, as whoever runs it says."""

    doing: Named | None = None


class Watchdog(Watched):
    """Reports, once for each time, what runs while the loop has not turned for `patience` seconds.

    A thread of its own looks; the loop's time is not touched but for one call each `patience`/2 seconds.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._turned = time.monotonic()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self.reports: deque[str] = deque(maxlen=LAST)
        """What was reported, the latest last."""

    def start(self) -> None:
        """Watch the running loop."""
        self._loop = asyncio.get_running_loop()
        self._turn()
        threading.Thread(target=self._watch, args=(self._loop,), name="watchdog", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        if self._handle is not None:
            self._handle.cancel()

    def _turn(self) -> None:
        self._turned = time.monotonic()
        assert self._loop is not None
        self._handle = self._loop.call_later(self._patience / 2, self._turn)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        reported = 0.0
        while not self._ended.wait(self._patience / 4):
            turned = self._turned
            held = time.monotonic() - turned
            if held > self._patience and turned != reported:
                reported = turned
                name = self._name_of_what_runs(loop)
                self.reports.append(name)
                log.warning("event_loop_blocked", by=name, seconds=round(held, 3), mend="set blocking = True")

    def _name_of_what_runs(self, loop: asyncio.AbstractEventLoop) -> str:
        """Not to be asked for in the loop that watches: its variables would keep a run in memory that is over."""
        doing = self.doing
        return _task_of(loop) if doing is None else doing.name


def _task_of(loop: asyncio.AbstractEventLoop) -> str:
    task = asyncio.current_task(loop)
    return "something outside of any task" if task is None else task.get_name()
