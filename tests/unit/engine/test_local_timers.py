"""Timers too near for the bus, which stay on the engine's event loop."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline
from tests.faults.test_lapsed import until_recorded


class Dozing(BaseStage):
    """Sleeps a moment."""

    stage_name = "Dozing"

    async def run(self) -> None:
        await self.sleep(0.05)
        self.set_outputs({"answer": 1})


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
