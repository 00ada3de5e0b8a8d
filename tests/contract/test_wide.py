"""A thousand items and a thousand branches, on both buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Bus
from stageflow_es.session import events as ev

from .conftest import Rig

WIDE = 1000
END = {"id": "end", "type": "terminal", "artifacts": ["all", "out.k999"]}
COUNT = {"type": "stage", "stage": "IncrementStage", "arguments": {"current": "item"}, "outputs": {"value": "value"}}


def mapped(mode: str) -> dict[str, Any]:
    node = {
        "id": "m",
        "type": "map",
        "mode": mode,
        "items": "items",
        "body": "b",
        "output_map": {"value": "all"},
        "next": "end",
    }
    return {"entry": "m", "nodes": [node, {"id": "b", **COUNT}, END]}


def branched() -> dict[str, Any]:
    names = [f"b{i}" for i in range(WIDE)]
    branches = [
        {
            "id": name,
            "type": "stage",
            "stage": "SetValueStage",
            "config": {"value": i},
            "outputs": {"value": f"out.k{i}"},
        }
        for i, name in enumerate(names)
    ]
    return {"entry": "p", "nodes": [{"id": "p", "type": "parallel", "children": names, "next": "end"}, *branches, END]}


@pytest.fixture
async def running(rig: Rig) -> AsyncIterator[Bus]:
    engine = Engine(rig.bus, name="engine")
    await engine.start()
    yield rig.bus
    await engine.kill()


async def end_of(bus: Bus, pipeline: dict[str, Any]) -> ev.SessionCompleted:
    body = {"pipeline": pipeline, "payload": {"items": list(range(WIDE))}}
    await bus.publish("start", "wide", msgspec.json.encode(body))
    async with asyncio.timeout(30):
        while True:
            head = await bus.events.head("wide")
            last = None if head is None else ev.decode(head.data)
            if isinstance(last, ev.SessionCompleted):
                return last
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
async def test_a_map_of_a_thousand_items_gives_a_thousand_entries_in_order(running: Bus, mode: str) -> None:
    last = await end_of(running, mapped(mode))
    assert last.artifacts["all"] == list(range(1, WIDE + 1))


async def test_a_thousand_branches_join_once(running: Bus) -> None:
    last = await end_of(running, branched())
    assert last.artifacts["out.k999"] == WIDE - 1
    history = [ev.decode(stored.data) for stored in await running.events.read("wide")]
    assert sum(isinstance(event, ev.ParallelCompleted) for event in history) == 1
    assert last.n == 2 * WIDE + 5
