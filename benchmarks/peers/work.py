"""What every engine does, and how it is timed. One program an engine: `python -m benchmarks.peers.burr TASK DIRECTORY`.

A task prints one JSON object of its values at the end. `crash` prints `half` when half of the steps are done and waits
to be killed; `recover`, in a new process, prints when all sessions have ended.

Standard library only: this runs where the other engine is installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

STEPS = 10
QUICK = os.environ.get("QUICK", "0") not in ("", "0")
SESSIONS, AT_ONCE = 200 if QUICK else 1000, 100
ROUNDS = 3
LONG = 20.0
"""Seconds after which W1 is not run once more."""
ALONE = 10 if QUICK else 30
INPUTS = 20 if QUICK else 50
PARKED = 500 if QUICK else 2000
RECOVERED = 200
SETTLED = 2.0
"""Seconds after which what is parked is parked."""
PATIENCE = 220.0


class Work(ABC):
    """One engine. Sessions have names; `directory` is where it keeps its data."""

    steps_done = 0
    sessions = SESSIONS
    """Of W1: a slow engine's rate shows with fewer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @abstractmethod
    async def open(self) -> None:
        """Be ready, with whatever servers it takes."""

    @abstractmethod
    async def close(self) -> None:
        """End what `open` began."""

    @abstractmethod
    async def run(self, name: str) -> None:
        """Ten steps in a row, each on disk before the next begins; returns when the session has ended."""

    @abstractmethod
    async def ask(self, name: str) -> None:
        """Start a session that waits for an input; returns when it waits."""

    @abstractmethod
    async def answer(self, name: str) -> None:
        """Send that input; returns when the session has ended."""

    @abstractmethod
    async def recover(self, names: list[str]) -> None:
        """In a new process: have the sessions that were cut off go on; returns when all have ended. After `open`."""

    def memory(self) -> float:
        """KiB of the process that holds the sessions."""
        return resident(os.getpid())


def resident(pid: int) -> float:
    """KiB of memory a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1])
    raise RuntimeError(f"process {pid} has no memory of its own")


async def _at_once(count: int, at_once: int, one: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    gate = asyncio.Semaphore(at_once)

    async def held(number: int) -> None:
        async with gate:
            await one(number)

    await asyncio.gather(*map(held, range(count)))


async def _w1(work: Work) -> dict[str, float]:
    rates = []
    await work.run("warm")
    first = time.perf_counter()
    for turn in range(ROUNDS):
        if turn and time.perf_counter() - first > LONG:
            break
        began = time.perf_counter()
        await _at_once(work.sessions, AT_ONCE, lambda number, turn=turn: work.run(f"w1-{turn}-{number}"))  # type: ignore[misc]
        rates.append(work.sessions * STEPS / (time.perf_counter() - began))
    return {"steps": statistics.median(rates)}


async def _alone(work: Work) -> dict[str, float]:
    await work.run("warm-alone")
    times = []
    for number in range(ALONE):
        began = time.perf_counter()
        await work.run(f"alone-{number}")
        times.append((time.perf_counter() - began) * 1000)
    return {"p50": statistics.median(times)}


async def _w2(work: Work) -> dict[str, float]:
    times = []
    for number in range(INPUTS):
        await work.ask(f"w2-{number}")
        began = time.perf_counter()
        await work.answer(f"w2-{number}")
        times.append((time.perf_counter() - began) * 1000)
    return {"p50": statistics.median(times)}


async def _parked(work: Work) -> dict[str, float]:
    await _at_once(100, 50, lambda number: work.ask(f"few-{number}"))
    await asyncio.sleep(SETTLED)
    before = work.memory()
    await _at_once(PARKED, 50, lambda number: work.ask(f"parked-{number}"))
    await asyncio.sleep(SETTLED)
    return {"bytes": (work.memory() - before) * 1024 / PARKED}


async def _crash(work: Work) -> dict[str, float]:
    async def tell() -> None:
        before = work.steps_done
        while work.steps_done - before < RECOVERED * STEPS // 2:
            await asyncio.sleep(0.001)
        print("half", flush=True)
        await asyncio.sleep(PATIENCE)

    await work.run("warm-crash")
    telling = asyncio.create_task(tell())
    running = [asyncio.create_task(work.run(f"crash-{number}")) for number in range(RECOVERED)]
    await telling
    return {"left": float(len(running))}


async def _recover(work: Work) -> dict[str, float]:
    await work.recover([f"crash-{number}" for number in range(RECOVERED)])
    return {}


TASKS: dict[str, Callable[[Work], Coroutine[Any, Any, dict[str, float]]]] = {
    "w1": _w1,
    "alone": _alone,
    "w2": _w2,
    "parked": _parked,
    "crash": _crash,
    "recover": _recover,
}


async def _measure(kind: Callable[[Path], Work], task: str, directory: Path) -> dict[str, float]:
    work = kind(directory)
    await work.open()
    try:
        async with asyncio.timeout(PATIENCE):
            return await TASKS[task](work)
    finally:
        await work.close()


def program(kind: Callable[[Path], Work]) -> None:
    """The program of one engine."""
    task, directory = sys.argv[1:3]
    values = asyncio.run(_measure(kind, task, Path(directory)))
    print(json.dumps(values), flush=True)
    os._exit(0)  # some engines leave threads behind that would be waited for
