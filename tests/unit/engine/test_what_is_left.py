"""What sessions leave behind in an engine when they end, or are parked: nothing, and nothing to be collected either."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.actor import Actor
from stageflow_es.engine.runner import StageRun
from stageflow_es.session import State
from stageflow_es.session import events as ev
from stageflow_es.stages import get_stages
from tests.e2e.conftest import ASK, STAGES

SESSIONS = 20
PARALLEL: dict[str, Any] = {
    "entry": "both",
    "nodes": [
        {"id": "both", "type": "parallel", "children": ["one", "two"], "next": "end"},
        {"id": "one", "type": "stage", "stage": "IncrementStage", "outputs": {"value": "one"}},
        {"id": "two", "type": "stage", "stage": "IncrementStage", "outputs": {"value": "two"}},
        {"id": "end", "type": "terminal"},
    ],
}


@pytest.fixture(autouse=True)
def no_collections() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def kept() -> list[object]:
    """What of sessions is in memory, whether anything still refers to it or not."""
    return [one for one in gc.get_objects() if isinstance(one, Actor | StageRun | State)]


@pytest.mark.parametrize(
    ("pipeline", "last"), [(ASK, ev.WaitingForInput), (PARALLEL, ev.SessionCompleted)], ids=["parked", "ended"]
)
async def test_nothing_is_left_of_a_session_not_even_garbage(pipeline: dict[str, Any], last: type[ev.Event]) -> None:
    bus = MemoryBus(1)
    engine = Engine(bus, stages={**get_stages(), **STAGES}, settings=EngineSettings(park_after=0.01))
    await engine.start()
    before = len(kept())
    for number in range(SESSIONS):
        await bus.publish("start", f"s{number}", msgspec.json.encode({"pipeline": pipeline}))
    async with asyncio.timeout(10):
        for number in range(SESSIONS):
            while not (history := await bus.events.read(f"s{number}")) or not isinstance(
                ev.decode(history[-1].data), last
            ):
                await asyncio.sleep(0.01)
        while len(kept()) > before:
            await asyncio.sleep(0.05)
    await engine.stop()


async def test_nothing_is_left_of_a_session_that_is_stopped_while_it_waits() -> None:
    bus = MemoryBus(1)
    engine = Engine(bus, stages={**get_stages(), **STAGES}, settings=EngineSettings(park_after=3600))
    await engine.start()
    before = len(kept())
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": ASK}))
    async with asyncio.timeout(10):
        while not any(isinstance(one, StageRun) and one in engine.waiting for one in kept()):
            await asyncio.sleep(0.01)
        await bus.publish("control", "s", msgspec.json.encode({"action": "stop"}))
        while len(kept()) > before:
            await asyncio.sleep(0.05)
    await engine.stop()
