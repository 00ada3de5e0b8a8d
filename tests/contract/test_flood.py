"""A flood of starts, with room for one session at a time, on both buses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar
from weakref import WeakSet

import msgspec
import pytest

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.actor import Actor
from stageflow_es.engine.ports import Bus
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

FLOOD = 60


class Slow(BaseStage):
    """Runs until it is let go on."""

    stage_name = "Slow"
    go: ClassVar[asyncio.Event]
    order: ClassVar[list[str]]

    async def run(self) -> None:
        Slow.order.append(self.session.id)
        await Slow.go.wait()


PIPELINE: dict[str, Any] = {
    "entry": "slow",
    "nodes": [{"id": "slow", "type": "stage", "stage": "Slow", "next": "end"}, {"id": "end", "type": "terminal"}],
}


def engine(bus: Bus) -> Engine:
    return Engine(bus, name="engine", stages={"Slow": Slow}, settings=EngineSettings(max_running=1))


@pytest.fixture
def actors(monkeypatch: pytest.MonkeyPatch) -> WeakSet[Actor]:
    """Every actor there is."""
    known: WeakSet[Actor] = WeakSet()
    begin = Actor.__init__

    def begun(self: Actor, *given: Any, **named: Any) -> None:
        known.add(self)
        begin(self, *given, **named)

    monkeypatch.setattr(Actor, "__init__", begun)
    return known


@pytest.fixture
async def flooded(bus: Bus, actors: WeakSet[Actor]) -> AsyncIterator[Bus]:
    """All started, one running."""
    Slow.go, Slow.order = asyncio.Event(), []
    running = engine(bus)
    await running.start()
    await flood(bus)
    yield bus
    await running.stop()


async def flood(bus: Bus) -> None:
    """Start them all, and wait until all have started."""
    for number in range(FLOOD):
        await bus.publish("start", f"s{number}", msgspec.json.encode({"pipeline": PIPELINE}))
    for number in range(FLOOD):
        await until(bus, f"s{number}", ev.SessionStarted)


async def until(bus: Bus, session: str, kind: type[ev.Event]) -> None:
    async with asyncio.timeout(20):
        while not any(isinstance(ev.decode(event.data), kind) for event in await bus.events.read(session)):
            await asyncio.sleep(0.005)


def waiting() -> list[str]:
    return [f"s{number}" for number in range(FLOOD) if f"s{number}" not in Slow.order]


async def test_sessions_that_wait_for_a_place_have_no_actor(flooded: Bus, actors: WeakSet[Actor]) -> None:
    async with asyncio.timeout(10):
        while len(actors) > 1:
            await asyncio.sleep(0.01)
    assert len(Slow.order) == 1


async def test_a_stop_and_a_pause_overtake_the_flood(flooded: Bus) -> None:
    last, before = waiting()[-1], waiting()[-2]
    await flooded.publish("control", last, b'{"action":"stop"}')
    await until(flooded, last, ev.SessionStopped)
    await flooded.publish("control", before, b'{"action":"pause"}')
    await until(flooded, before, ev.SessionPaused)
    assert len(Slow.order) == 1


async def test_all_get_their_turn_one_after_the_other_and_once(flooded: Bus) -> None:
    stopped = waiting()[30]
    await flooded.publish("control", stopped, b'{"action":"stop"}')
    await until(flooded, stopped, ev.SessionStopped)
    again = waiting()[10]
    await flooded.publish("start", again, msgspec.json.encode({"pipeline": PIPELINE}))
    await until(flooded, again, ev.CommandRejected)
    Slow.go.set()
    for number in range(FLOOD):
        if f"s{number}" != stopped:
            await until(flooded, f"s{number}", ev.SessionCompleted)
    assert len(Slow.order) == len(set(Slow.order)) == FLOOD - 1


async def test_another_engine_takes_over_those_that_wait(bus: Bus) -> None:
    Slow.go, Slow.order = asyncio.Event(), []
    first = engine(bus)
    await first.start()
    await flood(bus)
    await first.kill()
    Slow.go.set()
    second = engine(bus)
    await second.start()
    for number in range(FLOOD):
        await until(bus, f"s{number}", ev.SessionCompleted)
    await second.stop()
