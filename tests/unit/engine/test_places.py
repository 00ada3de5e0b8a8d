"""Who waits for a place and who does not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline
from tests.faults.test_lapsed import until_recorded


class Holds(BaseStage):
    """Runs until it is cancelled."""

    stage_name = "Holds"

    async def run(self) -> None:
        await asyncio.Event().wait()


class Ends(BaseStage):
    """Ends in a moment."""

    stage_name = "Ends"

    async def run(self) -> None:
        await asyncio.sleep(0)


class Rests(BaseStage):
    """Waits for an input, then sleeps, and then takes a moment."""

    stage_name = "Rests"

    async def run(self) -> None:
        await self.wait_input("go")
        await self.sleep(0.01)
        await asyncio.sleep(0)


def start(stage: str) -> bytes:
    body: dict[str, Any] = {"pipeline": pipeline(stage)}
    return msgspec.json.encode(body)


@pytest.mark.parametrize("kept_on_the_loop", [0.0, 60.0], ids=["timers on the bus", "timers on the event loop"])
async def test_a_session_woken_by_its_input_or_its_timer_waits_for_no_place(kept_on_the_loop: float) -> None:
    bus = MemoryBus(1, clock=lambda: datetime.now(UTC))
    settings = EngineSettings(max_running=1, park_after=0, local_timers=kept_on_the_loop)
    engine = Engine(bus, name="one", stages={"Holds": Holds, "Rests": Rests}, settings=settings)
    await engine.start()
    await bus.publish("start", "s", start("Rests"))
    await until_recorded(bus, ev.WaitingForInput)
    async with asyncio.timeout(10):
        while engine._held[0].partition.host.actors:
            await asyncio.sleep(0.005)
        await bus.publish("start", "holds", start("Holds"))
        while not engine.places.taken:
            await asyncio.sleep(0.005)
    await bus.publish("input", "s", b'{"type": "go"}')
    await until_recorded(bus, ev.SessionCompleted)
    assert engine.places.taken == 1
    await engine.stop()


async def test_a_place_that_comes_free_while_a_session_that_waits_for_it_answers_a_command_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages={"Holds": Holds, "Ends": Ends}, settings=EngineSettings(max_running=1))
    await engine.start()
    append, answers, answered = bus.events.append, asyncio.Event(), asyncio.Event()

    async def slowly(session: str, events: Sequence[bytes], last: int) -> int:
        if session == "s" and last > 0:
            answers.set()
            await answered.wait()
        return await append(session, events, last)

    monkeypatch.setattr(bus.events, "append", slowly)
    async with asyncio.timeout(10):
        await bus.publish("start", "holds", start("Holds"))
        while not engine.places.taken:
            await asyncio.sleep(0.005)
        await bus.publish("start", "s", start("Ends"))
        while "s" not in engine._held[0].partition.host.turns:
            await asyncio.sleep(0.005)
        await bus.publish("start", "s", start("Ends"))
        await answers.wait()
        await bus.publish("control", "holds", b'{"action": "stop"}')
        while engine.places.queued:
            await asyncio.sleep(0.005)
    answered.set()
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
