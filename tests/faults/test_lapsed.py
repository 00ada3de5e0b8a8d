"""A lease that lapses by the engine's own clock, because the server does not answer for longer than its term."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Member, Unanswered
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline


class Plain(BaseStage):
    """Ends at once."""

    stage_name = "Plain"

    async def run(self) -> None:
        self.set_outputs({"answer": 1})


class Charges(BaseStage):
    """Charges once it is let, and notes what came of that."""

    stage_name = "Charges"
    let: ClassVar[asyncio.Event]
    notes: ClassVar[asyncio.Queue[str]]

    async def run(self) -> None:
        self.notes.put_nowait("began")
        try:
            await self.let.wait()
            await self.step("charge", self._charge)
        except asyncio.CancelledError:
            self.notes.put_nowait("held back")
            raise
        self.set_outputs({"answer": 1})

    async def _charge(self) -> None:
        self.notes.put_nowait("charged")


START = msgspec.json.encode({"pipeline": pipeline("Plain", outputs={"answer": "answer"})})
STAGES: dict[str, type[BaseStage]] = {"Plain": Plain, "Charges": Charges}


async def until_recorded(bus: MemoryBus, kind: type[ev.Event]) -> None:
    async with asyncio.timeout(10):
        while not any(isinstance(ev.decode(one.data), kind) for one in await bus.events.read("s")):
            await asyncio.sleep(0.01)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(1, lease_ttl=1)


class Away:
    """Renewals of leases that get no answer while `away`."""

    def __init__(self, bus: MemoryBus) -> None:
        self.away = False
        self._renew = bus.leases.renew

    async def renew(self, partition: int, owner: Member, revision: int) -> int | None:
        if self.away:
            raise Unanswered("not just now")
        return await self._renew(partition, owner, revision)


@pytest.fixture
def server(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> Away:
    server = Away(bus)
    monkeypatch.setattr(bus.leases, "renew", server.renew)
    return server


@pytest.fixture
async def lapsed(bus: MemoryBus, server: Away) -> AsyncIterator[Engine]:
    """An engine that begins a session while its lease has lapsed, and the session has not gone beyond its start."""
    engine = Engine(bus, name="one", stages=STAGES)
    await engine.start()
    server.away = True
    await asyncio.sleep(bus.leases.term + 0.1)
    await bus.publish("start", "s", START)
    await until_recorded(bus, ev.SessionStarted)
    await asyncio.sleep(0.1)
    assert len(await bus.events.read("s")) == 1
    yield engine
    await engine.stop()


async def test_what_was_held_back_when_a_lease_lapsed_begins_when_it_is_renewed(
    bus: MemoryBus, server: Away, lapsed: Engine
) -> None:
    server.away = False
    await until_recorded(bus, ev.SessionCompleted)


async def test_what_was_held_back_when_a_lease_lapsed_is_handed_over_with_the_rest(
    bus: MemoryBus, lapsed: Engine
) -> None:
    await lapsed.stop()
    other = Engine(bus, name="two", stages=STAGES)
    await other.start()
    await until_recorded(bus, ev.SessionCompleted)
    await other.stop()


async def test_a_stage_takes_no_further_step_after_the_lease_has_lapsed_until_it_is_renewed(
    bus: MemoryBus, server: Away
) -> None:
    Charges.let, Charges.notes = asyncio.Event(), asyncio.Queue()
    engine = Engine(bus, name="one", stages=STAGES)
    await engine.start()
    definition = pipeline("Charges", outputs={"answer": "answer"})
    async with asyncio.timeout(20):
        await bus.publish("start", "s", msgspec.json.encode({"pipeline": definition}))
        assert await Charges.notes.get() == "began"
        server.away = True
        for held in engine._held.values():
            held.partition.host.held_until = 0
        Charges.let.set()
        assert await Charges.notes.get() == "held back"
        server.away = False
        assert await Charges.notes.get() == "began"
        assert await Charges.notes.get() == "charged"
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()


async def test_a_session_whose_stage_no_engine_has_is_kept_for_one_that_has_it(bus: MemoryBus) -> None:
    with_it = Engine(bus, name="one", stages=STAGES)
    await with_it.start()
    definition = msgspec.json.decode(START)["pipeline"]
    found = await with_it.pipelines.inline(definition, with_it.catalog)
    assert not isinstance(found, list)
    await bus.definitions.name("named", found.digest)
    await bus.publish("start", "s", b'{"pipeline": "named", "paused": true}')
    await until_recorded(bus, ev.SessionStarted)
    await with_it.stop()
    without = Engine(bus, name="two", stages={})
    await without.start()
    await bus.publish("control", "s", b'{"action": "resume"}')
    await until_recorded(bus, ev.SessionResumed)
    await asyncio.sleep(0.1)
    await without.stop()
    again = Engine(bus, name="three", stages=STAGES)
    await again.start()
    await until_recorded(bus, ev.SessionCompleted)
    await again.stop()
