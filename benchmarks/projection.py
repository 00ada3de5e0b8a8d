"""The projection: how fast it follows the stream, how long it takes to be made anew, how soon it answers with 100,000
sessions in it, and how far it is behind while sessions run.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import time
from collections import deque
from contextlib import closing
from pathlib import Path

from benchmarks.figures import Figure, rate, table
from benchmarks.histories import EVENTS
from benchmarks.queries import ask
from benchmarks.rig import Rig, usage
from benchmarks.stream import PATIENCE, Stream
from benchmarks.w1 import together
from stageflow_es.bus.jetstream import connect
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.settings import BusSettings

SESSIONS = 100_000
AT_ONCE, MANY = 100, 5_000
LOOK = 0.02
"""Seconds between two looks at how far the tables are."""


def checkpoint(path: Path) -> int:
    """How far the tables are, as a stream sequence."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT seq FROM checkpoint").fetchone()[0])
    except sqlite3.OperationalError:  # they are only just being made
        return 0


async def _reached(path: Path, seq: int) -> float:
    """When the tables had come to `seq`."""
    async with asyncio.timeout(PATIENCE):
        while checkpoint(path) < seq:  # noqa: ASYNC110  # another process writes it, and tells nobody
            await asyncio.sleep(LOOK)
    return time.perf_counter()


async def follow(stream: Stream, sessions: int, at_once: int) -> list[Figure]:
    """A projector that has begun catches up with the stream."""
    path = stream.directory / "followed.db"
    async with stream.running("services.projector", db=path.name) as process:
        began = await _reached(path, 1)
        first, before = checkpoint(path), usage(process.pid)
        ended = await _reached(path, sessions * EVENTS)
        after = usage(process.pid)
    done = max(sessions * EVENTS - first, 1)
    what = f"projector, {at_once:,} sessions at once"
    return [
        rate(f"{what}, catching up", done / (ended - began), "events/s", 20_000),
        Figure(f"{what}, processor time", (after.seconds - before.seconds) / done * 1e6, "us/event"),
        Figure(f"{what}, peak memory", after.peak, "MiB"),
    ]


async def rebuild(stream: Stream, sessions: int) -> list[Figure]:
    """`stageflow rebuild`, from its start to its end."""
    began = time.perf_counter()
    path = stream.directory / "rebuilt.db"
    async with stream.running("stageflow_es.cli", "rebuild", "--db", str(path), db=path.name) as process:
        await process.wait()
    took = time.perf_counter() - began
    assert checkpoint(path) == sessions * EVENTS
    return [Figure(f"projection, rebuild of {sessions * EVENTS:,} events", took, "s", 60)]


async def lag(at_once: int = AT_ONCE, sessions: int = 3_000) -> list[Figure]:
    """The age of the oldest event that is not in the tables yet, while sessions run: looked at many times."""
    async with Rig() as rig:
        connection = await connect(rig.server.url)
        link = await Link.open(connection, PATIENCE)
        feed = JetStreamEventFeed(link, BusSettings())
        path = rig.path / "projection.db"
        await _reached(path, await feed.last())
        before, events = rig.usage()["projector"], rig.load.events
        load = asyncio.create_task(together(rig, sessions, at_once))
        ages = []
        ends: deque[tuple[float, int]] = deque()
        while not load.done():
            ends.append((time.perf_counter(), await feed.last()))
            reached = checkpoint(path)
            while ends and ends[0][1] <= reached:
                ends.popleft()
            ages.append(time.perf_counter() - ends[0][0] if ends else 0.0)
            await asyncio.sleep(LOOK)
        steps = load.result()
        await _reached(path, await feed.last())
        spent = rig.usage()["projector"].seconds - before.seconds
        seen = rig.load.events - events
        await link.close()
        await connection.close()
    what = f"projector during W1, {at_once} at once"
    return [
        Figure(f"{what}, lag at most", max(ages), "s", 1.0),
        Figure(f"{what}, lag p50", statistics.median(ages), "s"),
        Figure(f"{what}, processor time", spent / seen * 1e6, "us/event"),
        rate(f"{what}, while it is measured", steps, "steps/s"),
    ]


async def measure(sessions: int = SESSIONS) -> list[Figure]:
    """All of it; `sessions` of ten events each are in the stream."""
    figures: list[Figure] = []
    async with Stream.filled(sessions, AT_ONCE) as stream:
        figures += await follow(stream, sessions, AT_ONCE)
        figures += await rebuild(stream, sessions)
        figures += await ask(stream, "rebuilt.db", sessions)
    async with Stream.filled(sessions // 4, MANY) as stream:
        figures += await follow(stream, sessions // 4, MANY)
    for at_once in (AT_ONCE, 4 * AT_ONCE):
        figures += await lag(at_once)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", nargs="?", type=int, default=SESSIONS, help="10,000 at least, to tell anything")
    print(table(asyncio.run(measure(parser.parse_args().sessions))))
