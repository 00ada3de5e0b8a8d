"""Starts: many sessions started by one client, each accepted by an engine and on disk when its start returns."""

from __future__ import annotations

import time

from benchmarks.figures import Figure, rate
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import ASK
from stageflow_es.client import Client, connect

SESSIONS = sized(5000, 1000)
NAME = "bench-starts"


async def _starts(client: Client, sessions: int, at_once: int, *, wait: bool = True) -> float:
    began = time.perf_counter()
    await client.start_many([{"pipeline": NAME, "wait": wait}] * sessions, at_once=at_once)
    return sessions / (time.perf_counter() - began)


async def measure() -> list[Figure]:
    figures = []
    async with Rig() as rig, connect(rig.server.url) as client:
        await client.register(NAME, ASK)
        await _starts(client, 500, 100)
        for at_once in (100, 400):
            name = f"start_many, {at_once} at once, accepted by the engine"
            figures.append(rate(name, await _starts(client, SESSIONS, at_once), "starts/s"))
        name = "start_many, 100 at once, on disk"
        figures.append(rate(name, await _starts(client, SESSIONS, 100, wait=False), "starts/s"))
    return figures


if __name__ == "__main__":
    program(measure, __doc__)
