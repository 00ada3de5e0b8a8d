"""One long session: 100,000 transitions of a loop, the last of them as fast as the first, and how soon an input wakes
it when nobody has it in memory.

The times are those in its own events: `at` is when a transition was decided, and the next one is decided only when it
is on disk.
"""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Sequence
from datetime import datetime

import msgspec

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import loop
from stageflow_es import Context, Pipeline, Session
from stageflow_es.bus.jetstream import BusSettings
from stageflow_es.bus.jetstream.event_log import JetStreamEventLog

TRANSITIONS = sized(100_000, 10_000)
PART = 1000
PARKED = 1.5
"""Seconds after which a session that waits has left the engine's memory."""
WOKEN = 7
RUNS = 5
"""Sessions in process, of which the one in the middle is told: a thousand transitions take so little there that what
else the machine does shows."""


class _At(msgspec.Struct):
    at: datetime


_at = msgspec.json.Decoder(_At)


def _parts(history: Sequence[bytes]) -> tuple[float, float]:
    """Milliseconds of the first and of the last transitions."""
    moments = [_at.decode(history[index]).at for index in (0, PART, TRANSITIONS - PART, TRANSITIONS)]
    first, last = moments[1] - moments[0], moments[3] - moments[2]
    return first.total_seconds() * 1000, last.total_seconds() * 1000


def _figures(where: str, first: float, last: float) -> list[Figure]:
    name = f"{TRANSITIONS:,} transitions, {where}"
    return [
        Figure(f"{name}: the first {PART:,}", first, "ms"),
        Figure(f"{name}: the last {PART:,}", last, "ms"),
        Figure(f"{name}: last to first", last / first, "", 1.2),
    ]


async def _in_process() -> tuple[float, float]:
    pipeline = Pipeline.from_dict(loop(TRANSITIONS // 2))
    session = Session(id="s", pipeline=pipeline, context=Context(payload={"value": 0}))
    await session.run()
    return _parts(session.events)


async def _history(rig: Rig, session: str) -> list[bytes]:
    log = JetStreamEventLog(rig.load.link, BusSettings())
    return [event.data for event in await log.read(session)]


async def _wake(rig: Rig, session: str, times: int) -> float:
    """Milliseconds from an input to the wait for the next one, with the session out of memory before each: the
    median.
    """
    taken = []
    for _ in range(times):
        await asyncio.sleep(PARKED)
        rig.load.forget_wait(session)
        began = time.perf_counter()
        await rig.load.input(session, None)
        await rig.load.waits(session)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


async def _on_an_engine() -> list[Figure]:
    async with Rig() as rig:
        await rig.start("query")
        session = await rig.load.start(loop(TRANSITIONS // 2, asks=True))
        await rig.load.waits(session)
        figures = _figures("engine", *_parts(await _history(rig, session)))
        name = f"{TRANSITIONS:,} transitions, input to the next wait"
        figures.append(Figure(f"{name}, from the snapshot, p50", await _wake(rig, session, WOKEN), "ms", 50))
        await rig.end("engine", signal.SIGKILL)
        await rig.start("engine")
        await rig.load.warm()
        figures.append(Figure(f"{name}, in a new engine", await _wake(rig, session, 1), "ms", 50))
        await rig.end("query", signal.SIGTERM)
        await rig.end("projector", signal.SIGTERM)
        figures.append(Figure(f"{name}, with no projector", await _wake(rig, session, 1), "ms"))
        figures.append(Figure("engine's peak memory, all of this", rig.usage()["engine"].peak, "MiB"))
    return figures


async def measure() -> list[Figure]:
    """On a whole engine, and in process."""
    runs = [await _in_process() for _ in range(RUNS)]
    middle = sorted(runs, key=lambda run: run[1] / run[0])[RUNS // 2]
    return [*await _on_an_engine(), *_figures("in process", *middle)]


if __name__ == "__main__":
    program(measure, __doc__)
