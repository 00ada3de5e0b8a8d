"""What a parked session costs its engine: `python benchmarks/parked.py [sessions]`, 20,000 unless said otherwise.

Starts a NATS server and an engine of their own, and so many sessions that each wait for one input. Prints, and writes
as JSON on its last line:

- memory of the engine (RSS) before, while the starts flood in at most, and once all are parked; bytes a session
- milliseconds from sending an input to the session's next event, p50 and p99
- seconds until a restarted engine is up, and until it has answered an input, with all of them parked
- memory of a start that is queued for a place, from a flood of starts whose stages never end
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from stageflow_es.client import Client, connect
from tests.faults.processes import Process, World, until

SETTLED = 3.0
"""Seconds without more events after which memory is read."""
WOKEN = 300
STAGES = Path(__file__).parent / "parked_stages.py"


def waiting(stage: str) -> dict[str, Any]:
    first = {"id": "ask", "type": "stage", "stage": stage, "next": "end"}
    return {"entry": "ask", "nodes": [first, {"id": "end", "type": "terminal"}]}


async def events(client: Client) -> int:
    info = await client.link.api("STREAM.INFO.STAGEFLOW_EVENTS")
    return int(info["state"]["messages"])


async def start(client: Client, engine: Process, sessions: Sequence[str], stage: str, wanted: int) -> int:
    """Start them all; the engine's largest memory on the way, once there are `wanted` events."""
    pipeline = waiting(stage)
    largest = 0
    starting = asyncio.create_task(
        client.start_many([{"session": one, "pipeline": pipeline, "wait": False} for one in sessions], at_once=500)
    )
    while not starting.done() or await events(client) < wanted:
        largest = max(largest, engine.rss())
        await asyncio.sleep(0.05)
    starting.result()
    return largest


async def wake(client: Client, sessions: Sequence[str]) -> list[float]:
    """Milliseconds from each input to the event it leads to, one session after the other."""
    took = []
    for session in sessions:
        began = time.perf_counter()
        await client.session(session).input("answer", 1)
        took.append((time.perf_counter() - began) * 1000)
    return took


async def parked(world: World, count: int) -> dict[str, Any]:
    engine = world.engine("one", STAGEFLOW_STAGES=str(STAGES))
    await engine.start()
    await engine.until_said("partition_taken")
    async with connect(world.url) as client:
        await start(client, engine, ["warm"], "Wait", 2)
        await asyncio.sleep(SETTLED)
        before = engine.rss()
        began = time.perf_counter()
        sessions = [f"s{i}" for i in range(count)]
        largest = await start(client, engine, sessions, "Wait", 2 * count + 2)
        started = time.perf_counter() - began
        await asyncio.sleep(SETTLED)
        after = engine.rss()
        took = await wake(client, sessions[:WOKEN])
        await engine.end()
        began = time.perf_counter()
        await engine.start()
        await engine.until_said("partition_taken")
        up = time.perf_counter() - began
        await wake(client, sessions[WOKEN : WOKEN + 1])
        answered = time.perf_counter() - began
        await asyncio.sleep(SETTLED)
        fresh = engine.rss()
    await engine.end()
    return {
        "sessions": count,
        "started_per_s": round(count / started),
        "rss_before": before,
        "rss_largest": largest,
        "rss_parked": after,
        "bytes_per_parked_session": round((after - before) / count),
        "rss_restarted": fresh,
        "wake_ms_p50": round(median(took), 2),
        "wake_ms_p99": round(quantiles(took, n=100)[98], 2),
        "restart_up_s": round(up, 2),
        "restart_first_answer_s": round(answered, 2),
    }


async def flooded(world: World, count: int) -> dict[str, Any]:
    """Starts whose stages never end: all but `max_running` of them are queued."""
    engine = world.engine("two", STAGEFLOW_STAGES=str(STAGES))
    await engine.start()
    await until(lambda: engine.said().count("partition_taken") >= 8, 30, "all partitions")
    async with connect(world.url) as client:
        had = await events(client)
        await start(client, engine, [f"r{i}" for i in range(300)], "Never", had + 300)
        await asyncio.sleep(SETTLED)
        before = engine.rss()
        await start(client, engine, [f"q{i}" for i in range(count)], "Never", had + 300 + count)
        await asyncio.sleep(SETTLED)
        after = engine.rss()
        took = await wake(client, [f"s{i}" for i in range(WOKEN + 2, WOKEN + 52)])
    await engine.end()
    return {
        "queued": count,
        "bytes_per_queued_start": round((after - before) / count),
        "wake_ms_p50_behind_the_queue": round(median(took), 2),
    }


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="stageflow-parked-") as folder:
        world = World(Path(folder))
        try:
            await world.start_server()
            await (await world.bus()).close()
            figures = {**await parked(world, count), **await flooded(world, count)}
        finally:
            await world.close()
    for name, value in figures.items():
        print(f"{name:32} {value:,}")
    print(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
