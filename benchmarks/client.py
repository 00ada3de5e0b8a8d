"""W1 and W2 as a Python program sees them: each session started, answered and waited for through the client."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.figures import Figure, rate
from benchmarks.program import program
from benchmarks.rig import Rig
from benchmarks.scale import sized
from benchmarks.stages import ASK, chain
from benchmarks.w1 import STEPS
from stageflow_es.client import Client, connect

ROUNDS = sized(3, 1)
TIMES = sized(100, 30)


async def _steps(client: Client) -> None:
    session = await client.start(chain(STEPS))
    await session.result()


async def _together(client: Client, sessions: int, at_once: int) -> float:
    """Steps a second."""
    gate = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with gate:
            await _steps(client)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(sessions)))
    return sessions * STEPS / (time.perf_counter() - began)


async def _alone(client: Client) -> float:
    began = time.perf_counter()
    await _steps(client)
    return time.perf_counter() - began


async def _answered(client: Client) -> float:
    """Seconds from sending a waiting session its input to its result."""
    session = await client.start(ASK)
    async for event in session.raw_events():
        if event.startswith(b'{"type":"waiting_for_input"'):
            break
    began = time.perf_counter()
    await session.input("answer", {"approved": True})
    await session.result()
    return time.perf_counter() - began


async def _median(measure: Callable[[Client], Awaitable[float]], client: Client) -> float:
    """Milliseconds."""
    return statistics.median([await measure(client) for _ in range(TIMES)]) * 1000


async def measure() -> list[Figure]:
    async with Rig() as rig, connect(rig.server.url) as client:
        await rig.load.close()
        await _together(client, 1000, 100)
        at_100 = statistics.median([await _together(client, 1000, 100) for _ in range(ROUNDS)])
        at_400 = statistics.median([await _together(client, 2000, 400) for _ in range(ROUNDS)])
        alone, answered = await _median(_alone, client), await _median(_answered, client)
    return [
        rate("Python client, W1, 100 at once", at_100, "steps/s"),
        rate("Python client, W1, 400 at once", at_400, "steps/s"),
        Figure("Python client, W1, one session alone, p50", alone, "ms"),
        Figure("Python client, W2, input to result, p50", answered, "ms"),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
