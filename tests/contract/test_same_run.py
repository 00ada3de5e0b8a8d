"""The same pipeline comes to the same end in process, on the memory bus and on JetStream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random
from typing import Any

import msgspec
import pytest

from stageflow_es.engine import Engine
from stageflow_es.engine.local import Session
from stageflow_es.engine.ports import Bus
from stageflow_es.errors import SessionFailed
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage, Context, get_stages, register_stage
from stageflow_es.testing.generate import random_pipeline

from .conftest import Rig

SEEDS = range(40)
PAYLOAD = {"items": [1, 2, 3], "value": 1}
FINAL = (ev.SessionCompleted, ev.SessionFailed)


@register_stage("SameRunWork")
class Work(BaseStage):
    """Does what its config's seed says, the same every time: count, say something, take a step, or fail."""

    async def run(self) -> None:
        seed = self.config["seed"]
        value = self.get_arguments()["value"]
        if seed % 7 == 0:
            raise ValueError("as told")
        if seed % 3 == 0:
            self.emit("note", {"seed": seed})
        if seed % 4 == 0:
            await self.step("double", lambda number: number * 2, seed)
        number = value if isinstance(value, int) else 0
        self.set_outputs({"value": (number + seed) % 100})


def sequential(document: dict[str, Any]) -> dict[str, Any]:
    """The pipeline without races: one branch or one item at a time, and no branch that cancels another."""
    for node in document["nodes"]:
        if node["type"] == "parallel":
            node["children"] = node["children"][:1]
        if node["type"] == "map":
            node["mode"] = "sequential"
    for inner in document.get("subpipelines", {}).values():
        sequential(inner)
    return document


def pipelines() -> list[dict[str, Any]]:
    return [sequential(random_pipeline(Random(seed), "SameRunWork", 3)) for seed in SEEDS]


Shape = list[dict[str, Any]]
ENVELOPE = ("at", "by", "prev", "cause", "session", "command_id", "pipeline")


def shape(history: list[bytes]) -> Shape:
    """A history without what differs from run to run."""
    events = [msgspec.json.decode(data) for data in history]
    return [{name: value for name, value in event.items() if name not in ENVELOPE} for event in events]


async def in_process(document: dict[str, Any]) -> Shape:
    session = Session(id="local", pipeline=Pipeline.from_dict(document), context=Context(payload=PAYLOAD))
    with contextlib.suppress(SessionFailed):
        await session.run()
    return shape(session.events)


async def on_bus(bus: Bus, name: str, document: dict[str, Any]) -> Shape:
    body = msgspec.json.encode({"pipeline": document, "payload": PAYLOAD})
    await bus.publish("start", name, body)
    async with asyncio.timeout(20):
        while True:
            history = [stored.data for stored in await bus.events.read(name)]
            if history and isinstance(ev.decode(history[-1]), FINAL):
                return shape(history)
            await asyncio.sleep(0.01)


@pytest.fixture
async def running(rig: Rig) -> AsyncIterator[Bus]:
    engine = Engine(rig.bus, name="engine", stages=get_stages())
    await engine.start()
    yield rig.bus
    await engine.kill()


async def test_every_pipeline_runs_on_a_bus_as_it_does_in_process(running: Bus) -> None:
    documents = pipelines()
    there = await asyncio.gather(*(on_bus(running, f"s{i}", document) for i, document in enumerate(documents)))
    for document, found in zip(documents, there, strict=True):
        assert found == await in_process(document)
