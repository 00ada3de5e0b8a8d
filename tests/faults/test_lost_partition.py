"""A partition that is lost at an awkward moment: while it is handed over, taken over, or a session is being started."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus, MemoryLeases
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Checkpoint, Reader, Unanswered, WrongSequence
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
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


async def test_a_partition_that_is_lost_in_doubt_interrupts_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus(1)
    write = bus.checkpoints.write
    lost = asyncio.Event()

    async def unanswered_once(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        """The first that lists a running session is written, and nobody hears of it."""
        running = any(listed.running for listed in checkpoint.sessions.values())
        revision = await write(partition, revision, checkpoint)
        if running and not lost.is_set():
            lost.set()
            raise Unanswered("nobody knows")
        return revision

    class Long(BaseStage):
        """Ends when it is run again."""

        begun = 0

        async def run(self) -> None:
            Long.begun += 1
            await asyncio.Event().wait() if Long.begun == 1 else self.set_outputs({"answer": 1})

    monkeypatch.setattr(bus.checkpoints, "write", unanswered_once)
    engine = Engine(bus, name="one", stages={"Plain": Long}, settings=EngineSettings(checkpoint_every=0.02))
    async with asyncio.timeout(10):
        await engine.start()
        await bus.publish("start", "s", START)
        await lost.wait()
        await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
    history = [msgspec.json.decode(stored.data)["type"] for stored in await bus.events.read("s")]
    assert Long.begun == 2
    assert "stage_interrupted" not in history


async def test_work_another_left_in_the_checkpoint_is_found_by_an_owner_that_has_nothing_to_write() -> None:
    bus = MemoryBus(1)
    stood_still = asyncio.Event()
    began = asyncio.Event()
    killed = False

    class Long(BaseStage):
        """Ends once its first engine is dead."""

        async def run(self) -> None:
            began.set()
            await asyncio.Event().wait() if not killed else self.set_outputs({"answer": 1})

    class Late:
        """The commands, to a reader that learns of them late."""

        created, purge, reject = bus.commands.created, bus.commands.purge, bus.commands.reject

        async def open(self, partition: int, after: int) -> Reader:
            await stood_still.wait()
            return await bus.commands.open(partition, after)

    owners, strangers = copy(bus), copy(bus)
    owners.commands = Late()  # type: ignore[assignment]
    strangers.leases = MemoryLeases(bus, 60)
    settings = EngineSettings(checkpoint_every=0.02)
    owner = Engine(owners, name="owner", stages={"Plain": Long}, settings=settings)
    stranger = Engine(strangers, name="stranger", stages={"Plain": Long}, settings=settings)
    async with asyncio.timeout(10):
        starting = asyncio.create_task(owner.start())
        while (await bus.checkpoints.read(0))[0] == 0:
            await asyncio.sleep(0)
        await stranger.start()
        await bus.publish("start", "s", START)
        await began.wait()
        while (await bus.checkpoints.read(0))[1].commands == 0:  # type: ignore[union-attr]
            await asyncio.sleep(0)
        await stranger.kill()
        killed = True
        stood_still.set()
        await starting
        await until_recorded(bus, ev.SessionCompleted)
    await owner.stop()


async def test_a_place_that_comes_free_when_a_partition_is_lost_goes_to_none_of_its_sessions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    write = bus.checkpoints.write
    lost, again = asyncio.Event(), asyncio.Event()
    began: list[str] = []

    async def refused_once(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        if len(checkpoint.sessions) == 2 and not lost.is_set():
            lost.set()
            raise WrongSequence("somebody else had it")
        return await write(partition, revision, checkpoint)

    class Long(BaseStage):
        async def run(self) -> None:
            began.append(self.session.id)
            if len(began) > 1:
                again.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(bus.checkpoints, "write", refused_once)
    settings = EngineSettings(checkpoint_every=0.02, max_running=1)
    engine = Engine(bus, name="one", stages={"Plain": Long}, settings=settings)
    async with asyncio.timeout(10):
        await engine.start()
        await bus.publish("start", "first", START)
        await bus.publish("start", "second", START)
        await lost.wait()
        await again.wait()
    await engine.stop()
    assert began == ["first", "first"]


async def test_a_run_is_recorded_as_interrupted_though_a_checkpoint_was_due_while_its_session_was_being_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    append, read, write = bus.events.append, bus.checkpoints.read, bus.checkpoints.write
    starting, past = asyncio.Event(), asyncio.Event()
    began = asyncio.Event()

    async def append_once_a_checkpoint_was_due(session: str, events: Sequence[bytes], expected: int) -> int:
        starting.set()
        await past.wait()
        return await append(session, events, expected)

    def note() -> None:
        if starting.is_set():
            past.set()

    async def noted_read(partition: int) -> tuple[int, Checkpoint | None]:
        note()
        return await read(partition)

    async def noted_write(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        note()
        return await write(partition, revision, checkpoint)

    class Long(BaseStage):
        """Ends when it is run again."""

        async def run(self) -> None:
            again = began.is_set()
            began.set()
            await asyncio.Event().wait() if not again else self.set_outputs({"answer": 1})

    monkeypatch.setattr(bus.events, "append", append_once_a_checkpoint_was_due)
    monkeypatch.setattr(bus.checkpoints, "read", noted_read)
    monkeypatch.setattr(bus.checkpoints, "write", noted_write)
    settings = EngineSettings(checkpoint_every=0.2)
    async with asyncio.timeout(10):
        first = Engine(bus, name="one", stages={"Plain": Long}, settings=settings)
        await first.start()
        await bus.publish("start", "s", START)
        await began.wait()
        await first.kill()
        second = Engine(bus, name="one", stages={"Plain": Long}, settings=settings)
        await second.start()
        await until_recorded(bus, ev.SessionCompleted)
    await second.stop()
    history = [msgspec.json.decode(stored.data)["type"] for stored in await bus.events.read("s")]
    assert history.count("stage_interrupted") == 1
