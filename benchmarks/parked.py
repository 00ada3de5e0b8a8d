"""Parked sessions: what they cost an engine's memory, how soon an input wakes one, and how soon a restarted engine
answers with all of them there."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import ASK

SESSIONS = sized(20_000, 5000)
AT_ONCE = 500
WOKEN = sized(300, 100)
QUIET = 4.0
"""Seconds after which the last of them is parked, and its memory given back."""


async def park(rig: Rig, count: int) -> None:
    """Start so many sessions that wait; returns when all do."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with gate:
            await rig.load.waits(await rig.load.start(ASK))

    await asyncio.gather(*(one() for _ in range(count)))


async def _woken(rig: Rig, sessions: list[str]) -> list[float]:
    times = []
    for session in sessions:
        began = time.perf_counter()
        await rig.load.input(session, {})
        await rig.load.ended(session)
        times.append((time.perf_counter() - began) * 1000)
    return times


async def measure(count: int = SESSIONS) -> list[Figure]:
    """With `count` parked."""
    async with Rig() as rig:
        await park(rig, 200)
        await asyncio.sleep(QUIET)
        before = rig.usage()["engine"].memory
        await park(rig, count)
        await asyncio.sleep(QUIET)
        after = rig.usage()["engine"].memory
        times = await _woken(rig, [f"s{number}" for number in range(300, 300 + WOKEN)])
        await rig.end("engine", signal.SIGKILL)
        began = time.perf_counter()
        await rig.start("engine")
        await _woken(rig, [f"s{300 + WOKEN}"])
        again = time.perf_counter() - began
    return [
        Figure(
            f"parked, memory of the engine each, {count:,} sessions", (after - before) * 1024 * 1024 / count, "B", 1024
        ),
        Figure("parked, input to completion, p50", statistics.median(times), "ms", 20),
        Figure("parked, input to completion, p99", statistics.quantiles(times, n=100)[98], "ms"),
        Figure("parked, kill -9 and restart to the first answer", again, "s"),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
