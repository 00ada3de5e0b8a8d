"""W1: sessions of ten sequential stages, each step on disk before the next begins. A whole engine, its projector
running, one process each.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.figures import Figure, rate
from benchmarks.lag import Lag
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import chain

STEPS = 10
ALONE = sized(50, 20)
ROUNDS = sized(5, 2)
"""Of 1,000 sessions each; the median counts."""


async def alone(rig: Rig) -> float:
    """Milliseconds of one session with nothing beside it, start to end: the median."""
    times = []
    for _ in range(ALONE):
        began = time.perf_counter()
        await rig.load.run(chain(STEPS))
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


async def together(rig: Rig, sessions: int, at_once: int) -> float:
    """Steps a second of that many sessions, so many at once. What each process took is told on stderr."""
    before, events = rig.usage(), rig.load.events
    steps = sessions * STEPS / await rig.load.many(chain(STEPS), sessions, at_once)
    seen = rig.load.events - events
    costs = {name: (used.seconds - before[name].seconds) / seen * 1e6 for name, used in rig.usage().items()}
    shares = ", ".join(f"{name} {cost:.0f}" for name, cost in costs.items())
    told = f"{sessions:,} sessions, {at_once} at once: {steps:,.0f} steps/s; us of processor an event: {shares}"
    print(told, file=sys.stderr, flush=True)
    return steps


async def measure() -> list[Figure]:
    async with Rig() as rig:
        await together(rig, 1000, 100)  # at first all is slower: programs start, memory grows, the interpreter learns
        median = await alone(rig)
        async with Lag(rig) as lag:
            at_100 = statistics.median([await together(rig, 1000, 100) for _ in range(ROUNDS)])
            at_400 = statistics.median([await together(rig, 2000, 400) for _ in range(ROUNDS)])
        used = rig.usage()
    print("peak MiB:", {name: round(one.peak) for name, one in used.items()}, file=sys.stderr, flush=True)
    return [
        rate("W1, 100 at once", at_100, "steps/s", 10_000),
        rate("W1, 400 at once", at_400, "steps/s", 15_000),
        Figure("W1, one session alone, p50", median, "ms", 8),
        Figure("W1, peak memory of the engine", used["engine"].peak, "MiB", 150),
        Figure("W1, lag of the projection, the most", lag.most, "s", 1),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
