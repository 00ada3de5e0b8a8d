"""A partition that is lost at the very moment it is handed over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Checkpoint, Unanswered
from stageflow_es.session import events as ev
from tests.faults.test_lapsed import STAGES, START, until_recorded


async def test_a_partition_lost_while_it_is_handed_over_leaves_its_sessions_listed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    append, write = bus.events.append, bus.checkpoints.write
    appended, written = asyncio.Event(), asyncio.Event()
    away = True

    async def slow_append(session: str, events: Sequence[bytes], expected: int) -> int:
        """After the start, no answer for as long as the server is away."""
        seq = await append(session, events, expected)
        if away and expected:
            appended.set()
            await asyncio.Event().wait()
        return seq

    async def unanswered_write(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        """Fails once the hand-over waits for the append."""
        if away and checkpoint.sessions and not written.is_set():
            written.set()
            await appended.wait()
            await asyncio.sleep(0.05)
            raise Unanswered("nobody knows")
        return await write(partition, revision, checkpoint)

    monkeypatch.setattr(bus.events, "append", slow_append)
    monkeypatch.setattr(bus.checkpoints, "write", unanswered_write)
    first = Engine(bus, name="one", stages=STAGES, settings=EngineSettings(checkpoint_every=0.02, append_limit=1))
    async with asyncio.timeout(10):
        await first.start()
        await bus.publish("start", "s", START)
        await written.wait()
        await appended.wait()
        await first.stop()
        away = False
        second = Engine(bus, name="two", stages=STAGES)
        await second.start()
    await until_recorded(bus, ev.SessionCompleted)
    await second.stop()
    history = [msgspec.json.decode(stored.data)["type"] for stored in await bus.events.read("s")]
    assert history.count("stage_completed") == 1
