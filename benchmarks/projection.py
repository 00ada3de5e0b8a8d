"""The projection: how fast it follows the stream, how long it takes to be made anew, and how soon it answers with
100,000 sessions in it. How far it is behind while sessions run is told by `w1`.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.figures import Figure, rate
from benchmarks.histories import EVENTS
from benchmarks.lag import position
from benchmarks.program import program
from benchmarks.queries import ask
from benchmarks.rig import usage
from benchmarks.scale import sized
from benchmarks.stream import PATIENCE, Stream

SESSIONS = sized(100_000, 10_000)
AT_ONCE, MANY = 100, 5_000
LOOK = 0.02
"""Seconds between two looks at how far the tables are."""


async def _reached(path: Path, seq: int) -> float:
    """When the tables had come to `seq`."""
    async with asyncio.timeout(PATIENCE):
        while position(path) < seq:
            await asyncio.sleep(LOOK)
    return time.perf_counter()


async def follow(stream: Stream, sessions: int, at_once: int) -> list[Figure]:
    """A projector that has begun catches up with the stream."""
    path = stream.directory / "followed.db"
    async with stream.running("services.projector", db=path.name) as process:
        began = await _reached(path, 1)
        first, before = position(path), usage(process.pid)
        ended = await _reached(path, sessions * EVENTS)
        after = usage(process.pid)
    done = max(sessions * EVENTS - first, 1)
    what = f"projector, {at_once:,} sessions at once"
    return [
        rate(f"{what}, catching up", done / (ended - began), "events/s", 20_000),
        Figure(f"{what}, processor time", (after.seconds - before.seconds) / done * 1e6, "us/event"),
        Figure(f"{what}, peak memory", after.peak, "MiB"),
    ]


async def rebuild(stream: Stream, sessions: int) -> list[Figure]:
    """`stageflow rebuild`, from its start to its end."""
    began = time.perf_counter()
    path = stream.directory / "rebuilt.db"
    async with stream.running("stageflow_es.cli", "rebuild", "--db", str(path), db=path.name) as process:
        await process.wait()
    took = time.perf_counter() - began
    assert position(path) == sessions * EVENTS
    return [Figure(f"projection, rebuild of {sessions * EVENTS:,} events", took, "s", 60)]


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    async with Stream.filled(SESSIONS, AT_ONCE) as stream:
        figures += await follow(stream, SESSIONS, AT_ONCE)
        figures += await rebuild(stream, SESSIONS)
        figures += await ask(stream, "rebuilt.db", SESSIONS)
    async with Stream.filled(SESSIONS // 4, MANY) as stream:
        figures += await follow(stream, SESSIONS // 4, MANY)
    return figures


if __name__ == "__main__":
    program(measure, __doc__)
