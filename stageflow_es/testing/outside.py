"""What is at work outside of an event loop: calls in executors, blocking stages and subprocesses for sure; and perhaps
whoever holds a socket open, or a thread that was begun meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from selectors import SelectorKey
from typing import Any
from weakref import WeakSet

from stageflow_es.engine.threads import StageThread


class Outside:
    """`reporting` are those that say themselves when they are through, `files` what the loop listens to: at first only
    to itself."""

    def __init__(self, reporting: Collection[object], files: Mapping[Any, SelectorKey]) -> None:
        self.processes: list[asyncio.SubprocessTransport] = []
        self._reporting = reporting
        self._files = files
        self._own = set(files)
        self._known = WeakSet(threading.enumerate())

    @property
    def sure(self) -> bool:
        """Whether somebody is at work of whom the loop will hear."""
        return bool(self._reporting) or bool(self._running())

    @property
    def perhaps(self) -> bool:
        """Whether somebody may be."""
        return len(self._files) > len(self._own) or bool(self._strangers())

    @contextmanager
    def knowing(self) -> Iterator[None]:
        """Threads that are begun inside the block belong to somebody who reports: a pool begins one with a call, and
        another may take the call."""
        before = set(threading.enumerate())
        yield
        self._known.update(thread for thread in threading.enumerate() if thread not in before)

    def _running(self) -> list[asyncio.SubprocessTransport]:
        if self.processes:
            self.processes = [process for process in self.processes if process.get_returncode() is None]
        return self.processes

    def _strangers(self) -> list[threading.Thread]:
        return [
            thread
            for thread in threading.enumerate()
            if thread not in self._known and not isinstance(thread, StageThread)
        ]

    def names(self) -> list[str]:
        """Whoever is or may be at work, for people."""
        calls = sum(isinstance(one, asyncio.Future) for one in self._reporting)
        found = [f"{calls} call{'s' * (calls > 1)} in threads or executors"] if calls else []
        found += [thread.name for thread in threading.enumerate() if isinstance(thread, StageThread)]
        found += [f"process {process.get_pid()}" for process in self._running()]
        found += [f"open: {key.fileobj}" for fd, key in self._files.items() if fd not in self._own]
        return found + [f"thread {thread.name}" for thread in self._strangers()]
