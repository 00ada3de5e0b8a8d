"""Sessions that waited for their turn, or had just got it, when their engine died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import ListedSession, StoredEvent, WrongSequence
from stageflow_es.stages import BaseStage

PIPELINE = {
    "entry": "work",
    "nodes": [{"id": "work", "type": "stage", "stage": "Work", "next": "end"}, {"id": "end", "type": "terminal"}],
}
START = msgspec.json.encode({"pipeline": PIPELINE})
EVERY = 0.02
LONG = 60.0
"""A checkpoint that nobody waits for is not written before this."""


class Work(BaseStage):
    """Runs until its session is let through."""

    running: ClassVar[list[str]] = []
    let_through: ClassVar[set[str]] = set()
    stirred: ClassVar[asyncio.Event]

    async def run(self) -> None:
        self.running.append(self.session.id)
        self.stirred.set()
        try:
            while self.session.id not in self.let_through:
                self.stirred.clear()
                await self.stirred.wait()
        finally:
            self.running.remove(self.session.id)
            self.stirred.set()


@pytest.fixture
def bus() -> MemoryBus:
    Work.running, Work.let_through, Work.stirred = [], set(), asyncio.Event()
    return MemoryBus(1, lease_ttl=LONG)


@asynccontextmanager
async def engine(bus: MemoryBus, *, places: int, every: float = EVERY) -> AsyncIterator[Engine]:
    """An engine that dies in the end."""
    settings = EngineSettings(checkpoint_every=every, max_running=places)
    one = Engine(bus, name="engine", stages={"Work": Work}, settings=settings)
    await one.start()
    yield one
    await one.kill()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


async def listed(bus: MemoryBus) -> dict[str, ListedSession]:
    _, checkpoint = await bus.checkpoints.read(0)
    return {} if checkpoint is None else dict(checkpoint.sessions)


async def all_listed(bus: MemoryBus, sessions: int) -> None:
    async with asyncio.timeout(20):
        while len(await listed(bus)) < sessions:
            await asyncio.sleep(0.005)


async def lose_the_partition(bus: MemoryBus) -> None:
    """Write its checkpoint as another engine would."""
    while True:
        revision, checkpoint = await bus.checkpoints.read(0)
        assert checkpoint is not None
        with suppress(WrongSequence):
            await bus.checkpoints.write(0, revision, checkpoint)
            return


async def types(bus: MemoryBus, session: str) -> list[str]:
    return [msgspec.json.decode(stored.data)["type"] for stored in await bus.events.read(session)]


async def test_a_stage_that_kills_its_engine_as_soon_as_its_turn_comes_is_found_out(bus: MemoryBus) -> None:
    async with engine(bus, places=1):
        await bus.publish("start", "first", START)
        await bus.publish("start", "killer", START)
        await all_listed(bus, 2)
    Work.let_through.add("first")
    deaths = 0
    while "session_failed" not in await types(bus, "killer"):
        async with engine(bus, places=1, every=LONG):
            async with asyncio.timeout(20):
                while "killer" not in Work.running and "session_failed" not in await types(bus, "killer"):
                    await asyncio.sleep(0.005)
        deaths += 1
        assert deaths < 10
    assert (await types(bus, "killer")).count("stage_interrupted") == EngineSettings().interrupt_limit


async def test_a_session_that_waits_for_being_listed_keeps_its_place_and_no_other(bus: MemoryBus) -> None:
    sessions = [f"s{number}" for number in range(5)]
    async with engine(bus, places=1):
        for session in sessions:
            await bus.publish("start", session, START)
        await all_listed(bus, len(sessions))
    most = 0
    async with engine(bus, places=1, every=LONG):
        for _ in sessions:
            await until(lambda: bool(set(Work.running) - Work.let_through))
            most = max(most, len(Work.running))
            Work.let_through.update(Work.running)
            Work.stirred.set()
        await until(lambda: not Work.running)
        async with asyncio.timeout(20):
            for session in sessions:
                while "session_completed" not in await types(bus, session):
                    await asyncio.sleep(0.005)
    assert most == 1


async def test_what_may_have_run_stays_listed_as_running_until_its_turn_comes_again(bus: MemoryBus) -> None:
    async with engine(bus, places=2):
        for session in ("one", "two"):
            await bus.publish("start", session, START)
        await all_listed(bus, 2)
        async with asyncio.timeout(20):
            while not all(entry.running for entry in (await listed(bus)).values()):
                await asyncio.sleep(0.005)
    async with engine(bus, places=1):
        await bus.publish("start", "three", START)
        await all_listed(bus, 3)
        assert {session: entry.running for session, entry in (await listed(bus)).items()} == {
            "one": True,
            "two": True,
            "three": False,
        }


async def test_who_ran_and_who_waited_in_a_partition_that_is_lost_leave_no_place_taken(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(bus, places=2):
        for session in ("waits", "runs"):
            await bus.publish("start", session, START)
        await until(lambda: len(Work.running) == 2)
        async with asyncio.timeout(20):
            while not all(entry.running for entry in (await listed(bus)).values()):
                await asyncio.sleep(0.005)
    head, other_runs = bus.events.head, asyncio.Event()

    async def slowly(session: str) -> StoredEvent | None:
        if session == "waits":
            await other_runs.wait()
        return await head(session)

    monkeypatch.setattr(bus.events, "head", slowly)
    async with engine(bus, places=1) as one:
        await until(lambda: Work.running == ["runs"])
        other_runs.set()
        await until(lambda: one.places.queued == 1)
        await lose_the_partition(bus)
        await until(lambda: not Work.running)
        Work.let_through.update(("waits", "runs"))
        async with asyncio.timeout(20):
            for session in ("waits", "runs"):
                while "session_completed" not in await types(bus, session):
                    await asyncio.sleep(0.005)


async def test_what_may_have_run_stays_listed_as_running_while_its_history_is_still_being_read(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(bus, places=2):
        await bus.publish("start", "ran", START)
        await until(lambda: Work.running == ["ran"])
        async with asyncio.timeout(20):
            while not all(entry.running for entry in (await listed(bus)).values()) or not await listed(bus):
                await asyncio.sleep(0.005)
    head = bus.events.head

    async def slowly(session: str) -> StoredEvent | None:
        if session == "ran":
            await asyncio.Event().wait()
        return await head(session)

    monkeypatch.setattr(bus.events, "head", slowly)
    async with engine(bus, places=2):
        await bus.publish("start", "other", START)
        await all_listed(bus, 2)
        assert (await listed(bus))["ran"].running


async def test_sessions_that_got_their_turn_and_ended_leave_no_turn_no_place_and_no_entry(bus: MemoryBus) -> None:
    sessions = ("one", "two", "three")
    async with engine(bus, places=1) as only:
        for session in sessions:
            await bus.publish("start", session, START)
        await all_listed(bus, len(sessions))
        Work.let_through.update(sessions)
        Work.stirred.set()
        async with asyncio.timeout(20):
            while await listed(bus):
                await asyncio.sleep(0.005)
        assert (only.places.taken, only.places.queued) == (0, 0)
        for session in sessions:
            assert "session_completed" in await types(bus, session)
