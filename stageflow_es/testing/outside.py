"""What is at work outside of an event loop: calls in executors, blocking stages and subprocesses for sure; and perhaps
whoever holds a socket open, or a thread that was begun meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
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

    def known(self, executor: Executor | None, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function for an executor, the thread of which will count as idle when its calls are done."""
        threaded = executor is None or isinstance(executor, ThreadPoolExecutor)
        return partial(self._call, function) if threaded else function

    def _call(self, function: Callable[..., Any], *args: Any) -> Any:
        self._known.add(threading.current_thread())
        return function(*args)

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
