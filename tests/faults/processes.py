"""Processes of one's own, and waiting for them.

Each ends by its pid, at the latest with the process that started it: the kernel sees to that where it can (Linux),
so that nothing is left behind by an interrupted run.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
READY_WITHIN = 30.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One process, its log in `log`. `ended_by_us`: whether its end was asked for. `frozen`: which pid was stopped from
    when to when, nanoseconds since 1970."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.ended_by_us = False
        self.spawned = 0.0
        self.frozen: list[tuple[int, int, int]] = []
        self._stopped = 0
        self._command = command
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> Process:
        self.ended_by_us = False
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.spawned = asyncio.get_running_loop().time()
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, **self._environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=_die_with_parent,
                process_group=0,
            )
        return self

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it lives. One that ends it counts as asked for."""
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.ended_by_us = True
        if not self.alive:
            return
        if number == signal.SIGSTOP:
            self._stopped = time.time_ns()
        elif number == signal.SIGCONT:
            self.frozen.append((self.pid, self._stopped, time.time_ns()))
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.pid, number)

    async def end(self, number: signal.Signals = signal.SIGKILL, within: float = 20.0) -> int:
        """End it and wait until it has; its exit code. What does not end within that many seconds is killed, and
        that is its exit code then."""
        assert self._process is not None
        self.send(number)
        try:
            return await asyncio.wait_for(self._process.wait(), within)
        except TimeoutError:
            self.send(signal.SIGKILL)
            return await self._process.wait()

    async def ended(self) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self._process is not None
        return await self._process.wait()

    def said(self) -> str:
        """What it logged since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode("utf-8", "replace")

    async def until_said(self, text: str, within: float = READY_WITHIN) -> None:
        """Wait until it has logged that. Raises AssertionError when it ends without."""
        async with asyncio.timeout(within):
            while text not in self.said():
                assert self.alive, f"{self.name} ended with {self.returncode}: {self.said()[-2000:]}"
                await asyncio.sleep(0.005)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of its log since it was started last that are JSON."""
        found = []
        for line in self.said().splitlines():
            if line.startswith("{"):
                found.append(json.loads(line))
        return found

    def rss(self) -> int:
        """Resident memory, in bytes; 0 once it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if len(fields) > 1 else 0


def free_port() -> int:
    """One that is free, and stays so while a server that has it is down: outgoing connections get theirs elsewhere."""
    while True:
        port = 12_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def until(holds: Callable[[], bool], within: float, what: str) -> float:
    """Wait until something holds; how long it took, in seconds. Raises AssertionError."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not holds():
        assert loop.time() - began < within, f"{what}: not within {within:g} s"
        await asyncio.sleep(0.002)
    return loop.time() - began
