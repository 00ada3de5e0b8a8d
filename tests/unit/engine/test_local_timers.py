"""Timers too near for the bus, which stay on the engine's event loop."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline
from tests.faults.test_lapsed import until_recorded


class Clock:
    """That of the bus, and so much ahead."""

    def __init__(self, bus: MemoryBus, ahead: timedelta) -> None:
        self._bus, self._ahead = bus, ahead

    def now(self) -> datetime:
        return self._bus.now() + self._ahead


class SleepsLong(BaseStage):
    """Sleeps an hour."""

    stage_name = "SleepsLong"

    async def run(self) -> None:
        await self.sleep(3600)
        self.set_outputs({"answer": 1})


class Dozing(BaseStage):
    """Sleeps a moment."""

    stage_name = "Dozing"

    async def run(self) -> None:
        await self.sleep(0.05)
        self.set_outputs({"answer": 1})


async def test_a_clock_that_goes_ahead_ends_no_sleep_that_another_engine_began() -> None:
    bus = MemoryBus(1)

    async def engine(ahead: timedelta) -> Engine:
        running = Engine(
            bus, stages={"SleepsLong": SleepsLong}, clock=Clock(bus, ahead), settings=EngineSettings(park_after=0)
        )
        await running.start()
        return running

    async def rests(running: Engine) -> None:
        async with asyncio.timeout(10):
            while any(held.partition.host.actors for held in running._held.values()):
                await asyncio.sleep(0.002)

    first = await engine(timedelta())
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": pipeline("SleepsLong")}))
    await until_recorded(bus, ev.TimerSet)
    await rests(first)
    await first.stop()
    second = await engine(timedelta(hours=2))
    await bus.publish("input", "s", msgspec.json.encode({"type": "hello", "payload": {}}))
    await until_recorded(bus, ev.UserInput)
    await rests(second)
    assert not [stored for stored in await bus.events.read("s") if isinstance(ev.decode(stored.data), ev.TimerFired)]
    bus.advance(bus.now() + timedelta(hours=1))
    await until_recorded(bus, ev.SessionCompleted)
    await second.stop()


@pytest.mark.parametrize("near", [1.0, 0.0], ids=["near", "on the bus"])
async def test_a_timer_is_cancelled_on_the_bus_by_who_set_it_there_and_by_nobody_else(
    near: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = MemoryBus(1)
    cancelled: list[str] = []

    async def cancel(session: str, timer: str) -> None:
        cancelled.append(timer)

    monkeypatch.setattr(bus.timers, "cancel", cancel)
    engine = Engine(bus, stages={"Dozing": Dozing}, settings=EngineSettings(local_timers=near))
    await engine.start()
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": pipeline("Dozing", outputs={"answer": "answer"})}))
    if not near:
        async with asyncio.timeout(10):
            while (due := bus.next_due()) is None:
                await asyncio.sleep(0.005)
        bus.advance(due)
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
    assert bool(cancelled) is not bool(near)


async def test_commands_and_fires_that_were_dealt_with_are_not_kept_in_their_logs() -> None:
    bus = MemoryBus(1)
    settings = EngineSettings(local_timers=0, checkpoint_every=0.02)
    engine = Engine(bus, stages={"Dozing": Dozing}, settings=settings)
    await engine.start()
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": pipeline("Dozing", outputs={"answer": "answer"})}))
    async with asyncio.timeout(10):
        while (due := bus.next_due()) is None:
            await asyncio.sleep(0.005)
        bus.advance(due)
        await until_recorded(bus, ev.SessionCompleted)
        for log in (bus.commands, bus.timers):
            while await (await log.open(0, 0)).fetch(10, 0):
                await asyncio.sleep(0.005)
    await engine.stop()
