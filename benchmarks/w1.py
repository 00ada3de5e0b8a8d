"""W1: sessions of ten sequential stages, each step on disk before the next begins. A whole engine, its projector
running, one process each.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

from benchmarks.rig import Rig
from benchmarks.stages import chain

STEPS = 10


async def alone(rig: Rig, sessions: int = 30) -> float:
    """Milliseconds of one session with nothing beside it, start to end: the median."""
    times = []
    for _ in range(sessions):
        began = time.perf_counter()
        await rig.load.run(chain(STEPS))
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def together(rig: Rig, sessions: int, at_once: int) -> float:
    """Steps a second of that many sessions, so many at once."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            await rig.load.run(chain(STEPS))

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(sessions)))
    return sessions * STEPS / (time.perf_counter() - began)


async def main(projector: bool) -> None:
    async with Rig(projector=projector) as rig:
        print(f"alone: {await alone(rig):.2f} ms p50")
        for sessions, at_once in ((1000, 100), (3000, 100), (4000, 400)):
            before, events = rig.usage(), rig.load.events
            rate = await together(rig, sessions, at_once)
            seen = rig.load.events - events
            costs = {
                name: (used.seconds - before[name].seconds) / seen * 1e6
                for name, used in rig.usage().items()
                if name in before
            }
            shares = ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items())
            print(f"{sessions} sessions, {at_once} at once: {rate:,.0f} steps/s; us of processor an event: {shares}")
        print("peak MiB:", {name: round(used.peak) for name, used in rig.usage().items()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-projector", action="store_true")
    asyncio.run(main(not parser.parse_args().no_projector))
