"""A parked session leaves nothing in its engine."""

from __future__ import annotations

import asyncio
import gc

import msgspec

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.actor import Actor
from stageflow_es.engine.runner import StageRun
from stageflow_es.session import events as ev
from tests.e2e.conftest import ASK, STAGES


def alive() -> list[object]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Actor | StageRun)]


async def test_nothing_is_kept_of_sessions_whose_stages_wait() -> None:
    bus = MemoryBus(1)
    engine = Engine(bus, stages=STAGES, settings=EngineSettings(park_after=0.01))
    await engine.start()
    before = len(alive())
    for number in range(20):
        await bus.publish("start", f"s{number}", msgspec.json.encode({"pipeline": ASK}))
    async with asyncio.timeout(10):
        for number in range(20):
            while not (history := await bus.events.read(f"s{number}")) or not isinstance(
                ev.decode(history[-1].data), ev.WaitingForInput
            ):
                await asyncio.sleep(0.01)
        while len(alive()) > before:
            await asyncio.sleep(0.05)
    await engine.stop()
