"""What a step's function may do, and what is whose: it may run other sessions, and what a history has of calls made
inside a step counts."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es import Pipeline, Session
from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.steps import Steps
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage, register_stage

PATIENCE = 20


@register_stage("InnerOfAStep")
class Inner(BaseStage):
    async def run(self) -> None:
        self.emit("inner")
        self.set_outputs({"value": await self.step("one", int)})


@register_stage("RunsASessionInAStep")
class Outer(BaseStage):
    async def run(self) -> None:
        self.set_outputs({"value": await self.step("session", self.another)})

    async def another(self) -> Any:
        return (await Session("inner", pipeline("InnerOfAStep")).run()).artifacts


def pipeline(stage: str) -> Pipeline:
    return Pipeline.from_dict(document(stage))


def document(stage: str) -> dict[str, Any]:
    return {
        "entry": "a",
        "nodes": [
            {"id": "a", "type": "stage", "stage": stage, "outputs": {"value": "value"}, "next": "end"},
            {"id": "end", "type": "terminal", "result": {}, "artifacts": ["value"]},
        ],
    }


async def test_a_session_that_runs_inside_a_step_of_another_makes_its_own_calls() -> None:
    result = await Session("outer", pipeline("RunsASessionInAStep")).run()
    assert result.artifacts == {"value": {"value": 0}}


class Nests(BaseStage):
    """A step inside a step, as a release let it be that did not refuse it."""

    stage_name = "Nests"
    calls: ClassVar[list[str]] = []
    goes_on: ClassVar[asyncio.Event] = asyncio.Event()

    async def run(self) -> None:
        self.set_outputs({"value": await self.step("outer", self.outer)})

    async def outer(self) -> str:
        value: str = await self.step("inner", self.inner)
        await self.goes_on.wait()
        return value

    def inner(self) -> str:
        self.calls.append("inner")
        return f"call {len(self.calls)}"


@pytest.fixture
def nests() -> type[Nests]:
    Nests.calls.clear()
    Nests.goes_on = asyncio.Event()
    return Nests


async def test_a_call_inside_a_step_that_is_recorded_already_is_not_refused_nor_done_again(
    nests: type[Nests], monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus(1, lease_ttl=0.2)

    async def engine() -> Engine:
        settings = EngineSettings(checkpoint_every=0.05, fetch_wait=0.05)
        running = Engine(bus, name="one", settings=settings, stages={"Nests": nests})
        await running.start()
        return running

    async def has(kind: type[ev.Event]) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                for stored in await bus.events.read("s"):
                    if isinstance(event := ev.decode(stored.data), kind):
                        return event
                await asyncio.sleep(0.002)

    with monkeypatch.context() as earlier:
        earlier.setattr(Steps, "refuse", lambda *_: None)
        first = await engine()
        await bus.publish("start", "s", msgspec.json.encode({"pipeline": document("Nests")}))
        await has(ev.StepCompleted)
        await first.kill()
    nests.goes_on.set()
    second = await engine()
    try:
        assert (await has(ev.SessionCompleted)).artifacts == {"value": "call 1"}
        assert nests.calls == ["inner"]
    finally:
        await second.kill()
