"""W2: a session waits for one input, then completes. From sending the input to seeing the session's end."""

from __future__ import annotations

import statistics

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import ASK

ROUNDS = sized(300, 100)


async def measure() -> list[Figure]:
    """Milliseconds, the median, with nothing beside it."""
    async with Rig() as rig:
        times = [await rig.load.answered(ASK) * 1000 for _ in range(ROUNDS)]
    return [
        Figure("W2, input to completion, p50", statistics.median(times), "ms", 2.5),
        Figure("W2, input to completion, p99", statistics.quantiles(times, n=100)[98], "ms"),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
