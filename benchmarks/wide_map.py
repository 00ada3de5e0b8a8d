"""A map of 10,000 items, one after the other and all at once: a whole engine, and in process.

A session in process runs in a Python process of its own, whose memory is all that is counted.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import msgspec

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.rig import ROOT, Rig, usage
from benchmarks.scale import sized
from benchmarks.stages import each
from stageflow_es import Context, Pipeline, Session

ITEMS = sized(10_000, 2_000)
MODES = ("sequential", "parallel")
SECONDS, MIB = 10, 300
HERE = "--here"
"""One session in this process, whose cost is told as JSON: this program calls itself so."""


class Cost(msgspec.Struct):
    seconds: float
    peak: float


async def _here(mode: str) -> Cost:
    """One session in this process."""
    pipeline = Pipeline.from_dict(each(ITEMS, mode))
    session = Session(id="s", pipeline=pipeline, context=Context(payload={"items": list(range(ITEMS))}))
    began = time.perf_counter()
    result = await session.run()
    seconds = time.perf_counter() - began
    assert result.artifacts == {"values": list(range(1, ITEMS + 1))}
    return Cost(seconds, usage(os.getpid()).peak)


def _in_process(mode: str) -> Cost:
    command = [sys.executable, "-m", "benchmarks.wide_map", HERE, mode]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    return msgspec.json.decode(done.stdout, type=Cost)


async def _on_an_engine(mode: str) -> Cost:
    async with Rig() as rig:
        began = time.perf_counter()
        session = await rig.load.start(each(ITEMS, mode), {"items": list(range(ITEMS))})
        await rig.load.ended(session)
        return Cost(time.perf_counter() - began, rig.usage()["engine"].peak)


def _figures(where: str, mode: str, cost: Cost) -> list[Figure]:
    name = f"map of {ITEMS:,} items, {mode}, {where}"
    return [Figure(name, cost.seconds, "s", SECONDS), Figure(f"{name}: peak", cost.peak, "MiB", MIB)]


async def measure() -> list[Figure]:
    figures = []
    for mode in MODES:
        figures += _figures("engine", mode, await _on_an_engine(mode))
    for mode in MODES:
        figures += _figures("in process", mode, _in_process(mode))
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == [HERE]:
        print(msgspec.json.encode(asyncio.run(_here(sys.argv[2]))).decode())
    else:
        program(measure, __doc__)
