"""Stages that wait are woken, whatever else the session does at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

from .conftest import Rig

PATIENCE = 20


class Asks(BaseStage):
    stage_name = "Asks"

    async def run(self) -> None:
        answer = await self.wait_input("go")
        assert answer is not None
        self.set_outputs({"value": answer["payload"]})


class Door(BaseStage):
    stage_name = "Door"
    opened: ClassVar[dict[str, asyncio.Event]] = {}

    async def run(self) -> None:
        await self.opened.setdefault(self.session.id, asyncio.Event()).wait()


class Trips(BaseStage):
    """Fails when its door opens, and never again."""

    stage_name = "Trips"
    opened: ClassVar[dict[str, asyncio.Event]] = {}

    async def run(self) -> None:
        if self.session.id not in self.opened:
            await self.opened.setdefault(self.session.id, asyncio.Event()).wait()
            raise ValueError("tripped")


class AsksThen(Door):
    """Asks once its door is open."""

    stage_name = "AsksThen"

    async def run(self) -> None:
        await super().run()
        await self.wait_input("go")


class SleepsThen(Door):
    """Sleeps once its door is open."""

    stage_name = "SleepsThen"

    async def run(self) -> None:
        await super().run()
        await self.sleep(0.01)


class AtOnce(BaseStage):
    """Is over as soon as it has begun."""

    stage_name = "AtOnce"

    async def run(self) -> None:
        self.set_outputs({"value": 1})


class Keeps(BaseStage):
    """Asks for what is there already, while another branch is at work."""

    stage_name = "Keeps"

    async def run(self) -> None:
        for _ in range(20):
            await self.wait_input("kept")
        self.set_outputs({"value": 1})


STAGES: dict[str, type[BaseStage]] = {
    stage.stage_name: stage for stage in (Asks, Door, Trips, AsksThen, SleepsThen, AtOnce, Keeps)
}


def parallel(*branches: list[str]) -> dict[str, Any]:
    """A branch for each list of stages."""
    nodes: list[dict[str, Any]] = []
    for number, stages in enumerate(branches):
        for place, name in enumerate(stages):
            following = f"b{number}.{place + 1}" if place + 1 < len(stages) else None
            nodes.append({"id": f"b{number}.{place}", "type": "stage", "stage": name, "next": following})
    children = [f"b{number}.0" for number in range(len(branches))]
    both = {"id": "both", "type": "parallel", "children": children, "next": "end"}
    return {"entry": "both", "nodes": [both, *nodes, {"id": "end", "type": "terminal"}]}


class World:
    def __init__(self, rig: Rig) -> None:
        self.bus = rig.bus
        self.engine = Engine(rig.bus, name="one", settings=EngineSettings(park_after=600), stages=STAGES)
        self._go_on = asyncio.Event()
        self._go_on.set()
        append = rig.bus.events.append

        async def slowly(session: str, events: Any, expected: int) -> int:
            await self._go_on.wait()
            for _ in range(10):
                await asyncio.sleep(0)
            return await append(session, events, expected)

        rig.bus.events.append = slowly  # type: ignore[method-assign]

    async def send(self, kind: Any, body: dict[str, Any]) -> None:
        await self.bus.publish(kind, "s", msgspec.json.encode(body), None)

    async def hold(self) -> None:
        """Have the session append something, and not get it stored before `go_on`."""
        self._go_on.clear()
        await self.send("input", {"type": "other"})
        await self.in_hand(1)

    async def in_hand(self, count: int) -> None:
        """Wait until the session has so much to do, what it appends included."""
        async with asyncio.timeout(PATIENCE):
            while count != sum(
                len(actor._inbox)
                for held in self.engine._held.values()
                for actor in held.partition.host.actors.values()
            ):
                await asyncio.sleep(0.001)

    async def begun(self, *stages: type[Door | Trips]) -> None:
        """Wait until stages stand before their doors."""
        async with asyncio.timeout(PATIENCE):
            while not all("s" in stage.opened for stage in stages):
                await asyncio.sleep(0.001)

    def go_on(self) -> None:
        self._go_on.set()

    async def until(self, kind: type[ev.Event], count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                history = [ev.decode(stored.data) for stored in await self.bus.events.read("s")]
                if sum(isinstance(event, kind) for event in history) >= count:
                    return
                await asyncio.sleep(0.01)


@pytest.fixture
async def world(rig: Rig) -> AsyncIterator[World]:
    world = World(rig)
    Door.opened.clear()
    Trips.opened.clear()
    await asyncio.wait_for(world.engine.start(), PATIENCE)
    yield world
    await world.engine.stop()


async def test_a_stage_is_woken_in_the_moment_in_which_another_is_over_at_once(world: World) -> None:
    await world.send("start", {"pipeline": parallel(["Asks"], ["Door", "AtOnce"])})
    await world.until(ev.WaitingForInput)
    await world.hold()
    Door.opened["s"].set()
    await world.in_hand(2)
    await world.send("input", {"type": "go", "payload": 1})
    await world.in_hand(3)
    world.go_on()
    await world.until(ev.SessionCompleted)


@pytest.mark.parametrize("stage", ["Door", "AsksThen", "SleepsThen"])
async def test_what_a_stage_says_between_a_failure_and_the_retry_of_its_session_holds_nothing_up(
    stage: str, world: World
) -> None:
    await world.send("start", {"pipeline": parallel(["Trips"], [stage])})
    await world.begun(Trips, Door)
    await world.hold()
    Trips.opened["s"].set()
    await world.in_hand(2)
    Door.opened["s"].set()
    await world.in_hand(3)
    await world.send("control", {"action": "retry"})
    await world.in_hand(4)
    await world.send("input", {"type": "go"})
    world.go_on()
    await world.until(ev.SessionCompleted)


async def test_a_stage_gets_what_was_kept_for_it_while_other_branches_are_at_work(world: World) -> None:
    await world.send("start", {"pipeline": parallel(["Door", "Keeps"], *[["Door", *["AtOnce"] * 30]] * 3)})
    await world.until(ev.ParallelStarted)
    for number in range(20):
        await world.send("input", {"type": "kept", "payload": number})
    await world.until(ev.UserInput, 20)
    Door.opened["s"].set()
    await world.until(ev.SessionCompleted)


async def test_an_input_to_a_paused_session_wakes_nothing_before_it_is_resumed(world: World) -> None:
    await world.send("start", {"pipeline": parallel(["Asks"])})
    await world.until(ev.WaitingForInput)
    await world.send("control", {"action": "pause"})
    await world.until(ev.SessionPaused)
    await world.send("input", {"type": "go", "payload": 1})
    for number in range(5):
        await world.until(ev.UserInput, number + 1)
        await world.send("input", {"type": "other"})
    await world.send("control", {"action": "resume"})
    await world.until(ev.SessionCompleted)
    order = [type(ev.decode(stored.data)) for stored in await world.bus.events.read("s")]
    assert order.index(ev.StageCompleted) > order.index(ev.SessionResumed)
