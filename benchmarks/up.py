"""W1 and W2 on what `stageflow up` runs, which is how somebody begins."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from benchmarks.figures import Figure, rate
from benchmarks.load import Load
from benchmarks.program import program
from benchmarks.rig import ROOT
from benchmarks.scale import sized
from benchmarks.stages import ASK, chain
from benchmarks.w1 import STEPS

ROUNDS = sized(3, 1)
TIMES = sized(100, 30)


class _Said(msgspec.Struct):
    url: str


@asynccontextmanager
async def up() -> AsyncIterator[Load]:
    """`stageflow up` with the stages of the benchmarks, in a directory of its own, and a client of it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        stages = str(ROOT / "benchmarks" / "stages.py")
        arguments = ["up", "--stages", stages, "--port", "0", "--directory", directory, "--json"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "stageflow_es.cli", *arguments, stdout=asyncio.subprocess.PIPE, env=environment
        )
        try:
            assert process.stdout is not None
            load = await Load.open(msgspec.json.decode(await process.stdout.readline(), type=_Said).url)
            await load.warm()
            yield load
            await load.close()
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _steps(load: Load, sessions: int, at_once: int) -> float:
    """A second."""
    return sessions * STEPS / await load.many(chain(STEPS), sessions, at_once)


async def measure() -> list[Figure]:
    async with up() as load:
        await _steps(load, 1000, 100)
        at_100 = statistics.median([await _steps(load, 1000, 100) for _ in range(ROUNDS)])
        at_400 = statistics.median([await _steps(load, 2000, 400) for _ in range(ROUNDS)])
        answered = statistics.median([await load.answered(ASK) for _ in range(TIMES)]) * 1000
    return [
        rate("stageflow up, W1, 100 at once", at_100, "steps/s"),
        rate("stageflow up, W1, 400 at once", at_400, "steps/s"),
        Figure("stageflow up, W2, input to completion, p50", answered, "ms"),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
