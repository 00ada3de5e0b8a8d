"""What a stage did durably it does not do again: after delays, crashes and parking, in a thread or not. Time is the
test's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

PATIENCE = 20


class Flaky(BaseStage):
    """Fails twice, and makes a call before each failure."""

    stage_name = "Flaky"
    retries = 2
    retry_delay = 10
    retry_backoff = 3
    calls: ClassVar[list[str]] = []

    async def run(self) -> None:
        key = await self.step("charge", self._charge)
        if self.attempt < 3:
            raise ConnectionError(f"attempt {self.attempt}")
        self.set_outputs({"value": [key == self.idempotency_key, self.attempt]})

    async def _charge(self) -> str:
        self.calls.append(self.idempotency_key)
        return self.idempotency_key


class Long(BaseStage):
    """A step, a sleep, an event, a wait, and a step."""

    stage_name = "Long"
    calls: ClassVar[list[str]] = []

    async def run(self) -> None:
        first = await self.step("first", self.call, "first")
        await self.sleep(3600)
        self.emit("slept", {"first": first})
        answer = await self.wait_input("go")
        assert answer is not None
        second = await self.step("second", self.call, "second")
        self.set_outputs({"value": [first, answer["payload"], second]})

    def call(self, name: str) -> str:
        self.calls.append(name)
        return f"{name} {len(self.calls)}"


class Threaded(Long):
    """The same in a thread."""

    stage_name = "Threaded"
    blocking = True


class Awaits(BaseStage):
    """Notes its thread, where it stays, and what ended it."""

    stage_name = "Awaits"
    blocking = True
    threads: ClassVar[list[threading.Thread]] = []
    ended: ClassVar[list[str]] = []
    inside: ClassVar[threading.Event] = threading.Event()

    async def run(self) -> None:
        self.threads.append(threading.current_thread())
        try:
            match self.config["call"]:
                case "sleep":
                    await self.sleep(3600)
                case "wait":
                    await self.wait_input("go")
                case "step":
                    await self.step("never", self._never)
        except BaseException as end:
            self.ended.append(type(end).__name__)
            raise

    async def _never(self) -> None:
        self.inside.set()
        await asyncio.Event().wait()


class Fails(BaseStage):
    stage_name = "Fails"
    retries = 1

    async def run(self) -> None:
        raise LookupError("no luck")


class Echo(BaseStage):
    stage_name = "Echo"

    async def run(self) -> None:
        self.set_outputs({"value": self.get_arguments()["value"]})


STAGES = {stage.stage_name: stage for stage in (Flaky, Long, Threaded, Awaits, Fails, Echo)}
END = {"id": "end", "type": "terminal", "artifacts": ["value"]}


def node(name: str, id: str = "a", **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": name, "next": "end", "outputs": {"value": "value"}, **fields}


class World:
    """A bus, its time, and an engine on it that may die."""

    def __init__(self) -> None:
        self.bus = MemoryBus(1, lease_ttl=1)
        self.engine: Engine | None = None

    def now(self) -> datetime:
        return self.bus.now()

    async def wakes(self, **settings: Any) -> Engine:
        given = EngineSettings(local_timers=0.0, checkpoint_every=0.05, fetch_wait=0.05, **settings)
        self.engine = Engine(self.bus, name="one", settings=given, stages=STAGES, clock=self)
        await self.engine.start()
        return self.engine

    async def dies(self) -> None:
        assert self.engine is not None
        await self.engine.kill()
        self.passes(2)

    def passes(self, seconds: float) -> None:
        self.bus.advance(self.now() + timedelta(seconds=seconds))

    async def begins(self, *nodes: dict[str, Any]) -> None:
        await self.sends("start", {"pipeline": {"entry": nodes[0]["id"], "nodes": [*nodes, END]}})

    async def sends(self, kind: Any, body: dict[str, Any]) -> None:
        await self.bus.publish(kind, "s", msgspec.json.encode(body))

    async def history(self) -> list[Any]:
        return [ev.decode(stored.data) for stored in await self.bus.events.read("s")]

    async def has(self, kind: type[ev.Event], times: int = 1) -> list[Any]:
        """The events of a kind, once there are so many."""
        return await self.until(lambda history: len(only(history, kind)) >= times, kind)

    async def until(self, seen: Callable[[list[Any]], bool], kind: type[ev.Event]) -> list[Any]:
        async with asyncio.timeout(PATIENCE):
            while not seen(history := await self.history()):
                await asyncio.sleep(0.002)
        return only(history, kind)

    async def timer(self) -> datetime:
        """When the next timer is due, once it is set on the bus."""
        async with asyncio.timeout(PATIENCE):
            while (due := self.bus.next_due()) is None:
                await asyncio.sleep(0.002)
        return due

    async def parks(self) -> None:
        """Until the engine has nothing of the session in memory."""
        assert self.engine is not None
        async with asyncio.timeout(PATIENCE):
            while any(held.partition.host.actors for held in self.engine._held.values()):
                await asyncio.sleep(0.002)


def only(history: list[Any], kind: type[ev.Event]) -> list[Any]:
    return [event for event in history if isinstance(event, kind)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    for seen in (Flaky.calls, Long.calls, Awaits.ended, Awaits.threads, Awaits.inside):
        seen.clear()
    world = World()
    yield world
    if world.engine is not None:
        await world.engine.kill()


async def test_a_delay_before_a_retry_grows_by_its_factor_and_a_crash_does_not_shorten_it(world: World) -> None:
    await world.wakes()
    await world.begins(node("Flaky"))
    (first,) = await world.has(ev.StageFailed)
    assert datetime.fromisoformat(first.due) - datetime.fromisoformat(first.at) == timedelta(seconds=10)
    assert await world.timer() == datetime.fromisoformat(first.due)
    await world.dies()
    await world.wakes()
    world.passes(7)
    assert len(only(await world.history(), ev.StageFailed)) == 1
    world.bus.advance(await world.timer())
    _, second = await world.has(ev.StageFailed, 2)
    assert datetime.fromisoformat(second.due) - datetime.fromisoformat(second.at) == timedelta(seconds=30)
    world.bus.advance(await world.timer())
    (end,) = await world.has(ev.SessionCompleted)
    assert end.artifacts == {"value": [True, 3]}
    assert len(Flaky.calls) == 1, "a step outlives the attempt that made it"
    assert only(await world.history(), ev.StageInterrupted) == []


@pytest.mark.parametrize("name", ["Long", "Threaded"])
@pytest.mark.parametrize("parked", [True, False], ids=["parked", "in memory"])
async def test_what_was_recorded_is_not_done_again_after_crashes_on_the_way(
    world: World, name: str, parked: bool
) -> None:
    settings = {"park_after": 0.0 if parked else 3600.0}
    await world.wakes(**settings)
    await world.begins(node(name))
    (timer,) = await world.has(ev.TimerSet)
    assert await world.timer() == datetime.fromisoformat(timer.due)
    for _ in range(2):
        if parked:
            await world.parks()
        await world.dies()
        await world.wakes(**settings)
    world.bus.advance(datetime.fromisoformat(timer.due))
    await world.has(ev.WaitingForInput)
    if parked:
        await world.parks()
    await world.dies()
    await world.wakes(**settings)
    await world.sends("input", {"type": "go", "payload": 7})
    (end,) = await world.has(ev.SessionCompleted)
    history = await world.history()
    assert end.artifacts == {"value": ["first 1", 7, "second 2"]}
    assert Long.calls == ["first", "second"]
    assert [type(event) for event in history] == [
        ev.SessionStarted,
        ev.StepCompleted,
        ev.TimerSet,
        ev.TimerFired,
        ev.StageEvent,
        ev.WaitingForInput,
        ev.UserInput,
        ev.StepCompleted,
        ev.StageCompleted,
        ev.SessionTerminated,
        ev.SessionCompleted,
    ], "a run that only waits is not blamed for the death of its engine"


@pytest.mark.parametrize("call", ["sleep", "wait", "step"])
async def test_a_thread_that_waits_ends_when_its_session_is_stopped(world: World, call: str) -> None:
    await world.wakes(park_after=3600.0)
    await world.begins(node("Awaits", config={"call": call}))
    await began(world, call)
    await world.sends("control", {"action": "stop"})
    await world.has(ev.SessionStopped)
    await thread_ended()


@pytest.mark.parametrize("call", ["sleep", "wait", "step"])
async def test_a_thread_that_waits_ends_when_its_engine_stops_and_nothing_is_blamed(world: World, call: str) -> None:
    engine = await world.wakes(park_after=3600.0)
    await world.begins(node("Awaits", config={"call": call}))
    await began(world, call)
    await asyncio.wait_for(engine.stop(), PATIENCE)
    await thread_ended()
    assert only(await world.history(), ev.StageFailed) == []
    await world.wakes(park_after=3600.0)
    await world.sends("control", {"action": "stop"})
    await world.has(ev.SessionStopped)
    assert only(await world.history(), ev.StageInterrupted) == []


async def began(world: World, call: str) -> None:
    """Until the stage is where it stays."""
    if call == "step":
        assert await asyncio.to_thread(Awaits.inside.wait, PATIENCE)
    else:
        await world.has(ev.TimerSet if call == "sleep" else ev.WaitingForInput)


async def thread_ended() -> None:
    (thread,) = Awaits.threads
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
    assert Awaits.ended == ["CancelledError"]


async def test_a_fallback_gets_the_failure_as_data(world: World) -> None:
    await world.wakes()
    route = {
        "id": "route",
        "type": "condition",
        "conditions": [{"if": {"==": [{"var": "$error.type"}, "LookupError"]}, "then": "tell"}],
    }
    tell = node("Echo", "tell", arguments={"value": "$error"})
    await world.begins(node("Fails", fallback="route"), route, tell)
    (end,) = await world.has(ev.SessionCompleted)
    told = end.artifacts["value"]
    assert {name: told[name] for name in ("type", "message", "node", "attempt")} == {
        "type": "LookupError",
        "message": "no luck",
        "node": "a",
        "attempt": 2,
    }
