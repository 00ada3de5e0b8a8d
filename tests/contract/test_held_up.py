"""What must not hold up the work of others: a command that cannot be answered at full length."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

from .conftest import Rig

PATIENCE = 20


class Stepper(BaseStage):
    stage_name = "Stepper"

    async def run(self) -> None:
        self.set_outputs({"value": await self.step("one", self._one)})

    async def _one(self) -> int:
        return 1


STAGES: dict[str, type[BaseStage]] = {stage.stage_name: stage for stage in (Stepper,)}


def one(name: str, **fields: Any) -> dict[str, Any]:
    node = {"id": "a", "type": "stage", "stage": name, "outputs": {"value": "value"}, "next": "end", **fields}
    return {"entry": "a", "nodes": [node, {"id": "end", "type": "terminal", "artifacts": ["value"]}]}


class Held:
    def __init__(self, rig: Rig) -> None:
        self.bus = rig.bus
        settings = EngineSettings(park_after=0.05, checkpoint_every=0.05, fetch_wait=0.5)
        self.engine = Engine(rig.bus, name="one", settings=settings, stages=STAGES)

    async def start(self, session: str, pipeline: Any) -> int:
        return await self.bus.publish("start", session, msgspec.json.encode({"pipeline": pipeline}), None)

    async def until(self, session: str, kind: type[ev.Event]) -> Any:
        async with asyncio.timeout(PATIENCE):
            while True:
                for stored in await self.bus.events.read(session):
                    if isinstance(event := ev.decode(stored.data), kind):
                        return event
                await asyncio.sleep(0.01)


@pytest.fixture
async def held(rig: Rig) -> AsyncIterator[Held]:
    held = Held(rig)
    await asyncio.wait_for(held.engine.start(), PATIENCE)
    yield held
    await held.engine.stop()


async def passed(held: Held, commands: int) -> None:
    """Wait until the floors have passed so many commands."""
    async with asyncio.timeout(PATIENCE):
        while True:
            saved = [(await held.bus.checkpoints.read(partition))[1] for partition in range(held.bus.partitions)]
            if max(one.commands for one in saved if one is not None) >= commands:
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("session", ["nobody", "somebody"])
async def test_a_command_whose_rejection_is_too_long_is_answered_shortly(held: Held, session: str) -> None:
    await held.start("somebody", one("Stepper"))
    await held.until("somebody", ev.SessionCompleted)
    await passed(held, await held.start(session, "x" * 900_000))
