"""How cost grows: with sessions at once, parked sessions, stages in a row, and the size of the context.

The figures are in benchmarks/results/growth.json, and drawn beside it (QUICK=1: smaller ones, growth-quick.json, no
pictures). Names choose some: `python -m benchmarks.growth parked`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import plot, records
from benchmarks.figures import Figure, table
from benchmarks.parked import QUIET, park
from benchmarks.program import end_in_order
from benchmarks.records import RESULTS, Record, Records
from benchmarks.rig import Rig
from benchmarks.scale import QUICK
from benchmarks.stages import ASK, chain
from benchmarks.w1 import STEPS
from stageflow_es import Context, Pipeline, Session

AT_ONCE = (1, 10, 100, 1000)
PARKED = (1, 100, 1000, 5000) if QUICK else (1, 1000, 10_000, 100_000)
STAGES = (10, 100, 1000) if QUICK else (10, 100, 1000, 9_999)
"""A pipeline has 10,000 nodes at most, its end among them."""
SIZES = (1, 10, 100) if QUICK else (1, 10, 100, 1000)
"""KB of the context."""
LARGEST = 960_000
"""Bytes of a context that still fit into the message of a start."""
WOKEN = 50


class Point(msgspec.Struct, frozen=True):
    """What was measured at one size, by the name of the line it is on."""

    size: float
    values: dict[str, float]


class Growth(msgspec.Struct, frozen=True):
    """One thing that grows. `goes`: what the values are, `unit` for short."""

    title: str
    grows: str
    goes: str
    unit: str
    measure: Callable[[], Coroutine[None, None, list[Point]]]


async def _timed(rig: Rig, pipeline: dict[str, Any], payload: dict[str, Any] | None = None) -> float:
    """Milliseconds of one session, start to end."""
    began = time.perf_counter()
    session = await rig.load.start(pipeline, payload)
    await rig.load.ended(session)
    return (time.perf_counter() - began) * 1000


async def at_once() -> list[Point]:
    points = []
    async with Rig() as rig:
        for count in AT_ONCE:
            gate = asyncio.Semaphore(count)
            sessions = max(100, 4 * count if count < 1000 else 2 * count)

            async def one(gate: asyncio.Semaphore = gate) -> None:
                async with gate:
                    await rig.load.run(chain(STEPS))

            await asyncio.gather(*(one() for _ in range(sessions)))
            began = time.perf_counter()
            await asyncio.gather(*(one() for _ in range(sessions)))
            points.append(Point(count, {"steps/s": sessions * STEPS / (time.perf_counter() - began)}))
    return points


async def parked() -> list[Point]:
    points = []
    async with Rig() as rig:
        there = 0
        for count in PARKED:
            await park(rig, count - there)
            there = count
            await asyncio.sleep(QUIET)
            times = []
            for _ in range(WOKEN):
                session = await rig.load.start(ASK)
                await rig.load.waits(session)
                began = time.perf_counter()
                await rig.load.input(session, {})
                await rig.load.ended(session)
                times.append((time.perf_counter() - began) * 1000)
            memory = rig.usage()["engine"].memory
            points.append(Point(count, {"engine, MiB": memory, "input to end, ms": statistics.median(times)}))
    return points


async def stages() -> list[Point]:
    points = []
    async with Rig() as rig:
        for count in STAGES:
            rounds = 3 if count <= 1000 else 1
            definition = _lean(count)
            durable = statistics.median([await _timed(rig, definition) for _ in range(rounds)])
            here = statistics.median([await _in_process(definition) for _ in range(rounds)])
            points.append(
                Point(count, {"on disk, each step": durable * 1000 / count, "in process": here * 1000 / count})
            )
    return points


def _lean(stages: int) -> dict[str, Any]:
    """A chain that writes nothing: so many nodes have to fit into the message of a start."""
    step = {"type": "stage", "stage": "Increment", "arguments": {"value": "value"}}
    nodes = [{"id": str(number), **step, "next": str(number + 1)} for number in range(stages)]
    end = {"id": str(stages), "type": "terminal"}
    return {"entry": "0", "nodes": [*nodes, end], "max_transitions": 4 * stages + 100}


async def _in_process(definition: dict[str, Any]) -> float:
    session = Session(id="s", pipeline=Pipeline.from_dict(definition), context=Context(payload={"value": 0}))
    began = time.perf_counter()
    await session.run()
    return (time.perf_counter() - began) * 1000


async def contexts() -> list[Point]:
    points = []
    async with Rig() as rig:
        for size in SIZES:
            pieces = min(size * 1000, LARGEST) // 103 - 1
            payload = {"value": 0, "ballast": ["x" * 100] * pieces}
            times = [await _timed(rig, chain(STEPS), payload) for _ in range(10)]
            points.append(Point(len(msgspec.json.encode(payload)) / 1000, {"ms": statistics.median(times)}))
    return points


GROWTHS = {
    "at_once": Growth("Sessions at once", "sessions at once", "steps a second, each on disk", "steps/s", at_once),
    "parked": Growth("Parked sessions", "sessions parked", "the engine's memory, and latency", "", parked),
    "stages": Growth("Stages in a row", "stages of one session", "microseconds a stage", "us", stages),
    "contexts": Growth("Size of the context", "KB of context", "ten steps of one session, ms", "ms", contexts),
}


def _figures(growth: Growth, points: list[Point]) -> list[Figure]:
    return [
        Figure(f"{growth.title}, {point.size:,.0f}: {name}", value, growth.unit)
        for point in points
        for name, value in point.values.items()
    ]


def panel(growth: Growth, points: list[Point]) -> plot.Lines:
    """What is drawn of one."""
    names = points[0].values
    lines = {name: [(point.size, point.values[name]) for point in points] for name in names}
    return plot.Lines(growth.title, growth.grows, growth.goes, lines)


class Grown(msgspec.Struct, frozen=True):
    """What is kept: the figures as those of any benchmark, and the points to draw."""

    records: Records
    points: dict[str, list[Point]]


def draw(grown: Grown, directory: Path) -> None:
    """Write the pictures."""
    panels = [panel(growth, grown.points[name]) for name, growth in GROWTHS.items() if name in grown.points]
    for theme in plot.THEMES:
        picture = plot.lines("How cost grows", panels, theme)
        (directory / f"growth-{theme.name}.svg").write_text(picture, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(GROWTHS)}")
    names = parser.parse_args().names
    if unknown := set(names) - set(GROWTHS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    end_in_order()
    path = RESULTS / ("growth-quick.json" if QUICK else "growth.json")
    before = msgspec.json.decode(path.read_bytes(), type=Grown) if names and path.exists() else None
    kept, points = records.begin("make bench-growth"), dict(before.points) if before else {}
    kept = kept.with_new(before.records.records) if before else kept
    for name in names or GROWTHS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        record, began = Record.before(name), time.perf_counter()
        points[name] = asyncio.run(GROWTHS[name].measure())
        figures = _figures(GROWTHS[name], points[name])
        kept = kept.with_new([record.with_figures(figures, time.perf_counter() - began)])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(Grown(kept, points)), indent=1) + b"\n")
    print(table(figure for record in kept.records for figure in record.figures))
    if not QUICK:
        draw(Grown(kept, points), RESULTS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
