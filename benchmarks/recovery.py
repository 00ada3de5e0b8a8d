"""Recovery: an engine with 200 sessions in the middle of their stages is killed, and started again under its name."""

from __future__ import annotations

import asyncio
import signal
import time

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.stages import chain

SESSIONS = 200
STEPS = 10


async def measure() -> list[Figure]:
    """Seconds until all 200 have ended: from the kill, and from when the engine answers again."""
    async with Rig() as rig:
        before = rig.load.events
        sessions = [await rig.load.start(chain(STEPS)) for _ in range(SESSIONS)]
        await rig.load.sees(before + SESSIONS * STEPS // 2)
        await rig.end("engine", signal.SIGKILL)
        left = sum(not rig.load.has_ended(session) for session in sessions)
        killed, seen = time.perf_counter(), rig.load.events
        await rig.start("engine")
        await rig.load.sees(seen + 1)
        up = time.perf_counter()
        await asyncio.gather(*(rig.load.ended(session) for session in sessions))
        done = time.perf_counter()
    return [
        Figure("recovery, sessions under way at the kill", left, ""),
        Figure("recovery, from the engine's first event to all done", done - up, "s", 1.0),
        Figure("recovery, from kill -9 to all done", done - killed, "s"),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
