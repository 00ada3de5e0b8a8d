"""An engine that is started while the bus comes and goes."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Checkpoint, ListedSession, Unanswered


async def test_an_engine_whose_partition_is_lost_before_it_is_served_takes_it_again_and_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    before = Checkpoint(
        commands_created=await bus.commands.created(),
        timers_created=await bus.timers.created(),
        sessions={"rested": ListedSession(n=0)},
    )
    await bus.checkpoints.write(0, 0, before)
    write, open_log = bus.checkpoints.write, bus.commands.open
    writes = 0

    async def lost_once(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise Unanswered("the answer is lost")
        return await write(partition, revision, checkpoint)

    async def away_at_first(partition: int, after: int) -> object:
        if writes < 3:
            raise Unanswered("not just now")
        return await open_log(partition, after)

    monkeypatch.setattr(bus.checkpoints, "write", lost_once)
    monkeypatch.setattr(bus.commands, "open", away_at_first)
    engine = Engine(bus, settings=EngineSettings(checkpoint_every=0.05))
    async with asyncio.timeout(10):
        await engine.start()
    assert writes >= 3
    await engine.stop()
