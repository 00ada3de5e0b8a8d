"""Long sessions loaded from snapshots, on both buses: what is asked for, what is taken, and what is not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from stageflow_es.bus.jetstream import JetStreamBus
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine.definitions import Library
from stageflow_es.engine.loading import Loader
from stageflow_es.engine.ports import Bus, EventLog, StoredEvent, Unanswered
from stageflow_es.engine.shortcut import QUIET, Shortcut
from stageflow_es.session import State, apply
from stageflow_es.session.events import SessionArchived, encode
from stageflow_es.session.fold import hash_of
from stageflow_es.session.snapshot import dump
from stageflow_es.testing.scenario import steps
from tests.unit.projection.worlds import STAGES, begin, session

LONG = 20

HISTORY = session("s", begin(), *(steps(f"step{number}", number) for number in range(2 * LONG))).history
OTHER = session("other", begin(), *(steps(f"other{number}", number) for number in range(2 * LONG))).history


class Reads:
    """An event log that notes after which sequence histories are read."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self.after: list[int] = []

    async def head(self, session: str) -> StoredEvent | None:
        return await self._events.head(session)

    async def first(self, session: str) -> StoredEvent | None:
        return await self._events.first(session)

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        self.after.append(after)
        found = await self._events.read(session, after, upto, about=about)
        assert about in {None, len(found)}
        return found

    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        raise AssertionError("a loader writes nothing")


class Silent:
    """Snapshots nobody answers for."""

    def __init__(self) -> None:
        self.asked = 0

    async def get(self, session: str) -> bytes | None:
        self.asked += 1
        raise Unanswered("nobody is there")


class World:
    """A session on a bus, its sequences, and a loader that notes what it reads."""

    def __init__(self, bus: Bus, snapshots: Any = None) -> None:
        self.bus = bus
        self.reads = Reads(bus.events)
        library = Library(bus.definitions)
        self.loader = Loader(
            self.reads, library, Shortcut(self.reads, library, snapshots or bus.snapshots, longer_than=LONG)
        )
        self.stored: list[StoredEvent] = []

    async def store(self, history: Sequence[bytes] = HISTORY, name: str = "s") -> None:
        await self.bus.definitions.put(STAGES.canonical)
        await self.bus.events.append("stranger", [b"{}"], 0)  # so that sequence and number are not the same
        await self.bus.events.append(name, history, 0)
        self.stored = await self.bus.events.read(name)

    def at(self, number: int, name: str = "s") -> bytes:
        """The snapshot as of the session's event of that number."""
        state = State(name, STAGES)
        for event in self.stored[:number]:
            apply(state, event.data, event.seq)
        return dump(state)

    async def answer(self, image: bytes | None) -> None:
        """Have this snapshot, or an error, answered from now on."""
        if isinstance(self.bus, MemoryBus):
            self.bus.snapshots.images = {} if image is None else {"s": image}
            return
        assert isinstance(self.bus, JetStreamBus)
        connection = self.bus.connection

        def reply(message: Incoming) -> None:
            headers = {"Nats-Service-Error-Code": "404", "Nats-Service-Error": "there is none"}
            answering.append(
                asyncio.ensure_future(
                    connection.publish(message.reply, image or b"[]", headers=None if image else headers)
                )
            )

        answering: list[asyncio.Future[None]] = []
        await connection.listen(self.bus.names.query("session.snapshot"), reply)
        await connection.flush()

    async def loads_all_the_same(self) -> None:
        """Whatever was answered: what is loaded is the fold of the log."""
        assert dump(await self.loader.load("s", 0)) == self.at(len(self.stored))


@pytest.fixture
async def world(bus: Bus) -> World:
    world = World(bus)
    await world.store()
    return world


@pytest.mark.parametrize("number", [1, LONG, len(HISTORY)])
async def test_a_long_session_is_loaded_from_its_snapshot_and_what_came_after(world: World, number: int) -> None:
    await world.answer(world.at(number))
    await world.loads_all_the_same()
    assert world.reads.after == [world.stored[number - 1].seq]


async def test_a_session_that_is_not_long_is_read_whole_and_nobody_is_asked() -> None:
    world = World(bus := MemoryBus())
    await world.store(HISTORY[:LONG])
    await world.loads_all_the_same()
    assert world.reads.after == [0]
    assert bus.snapshots.asked == 0


async def test_without_a_snapshot_a_long_session_is_read_whole(world: World) -> None:
    await world.answer(None)
    await world.loads_all_the_same()
    assert world.reads.after == [0]


async def test_where_nobody_answers_a_session_is_read_from_its_history(bus: Bus) -> None:
    world = World(bus)
    await world.store()
    await world.loads_all_the_same()


async def test_where_nobody_answers_the_server_says_so_and_no_time_is_lost(jetstream: JetStreamBus) -> None:
    with pytest.raises(Unanswered, match="nothing answers"):
        await jetstream.snapshots.get("s")


async def test_after_silence_nobody_is_asked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Silent()
    world = World(MemoryBus(), silent)
    await world.store()
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    for _ in range(3):
        await world.loads_all_the_same()
    assert silent.asked == 1
    now += QUIET
    await world.loads_all_the_same()
    assert silent.asked == 2


async def test_a_service_that_does_not_answer_is_not_waited_for(jetstream: JetStreamBus) -> None:
    await jetstream.connection.listen(jetstream.names.query("session.snapshot"), lambda message: None)
    await jetstream.connection.flush()
    async with asyncio.timeout(2):
        with pytest.raises(Unanswered):
            await jetstream.snapshots.get("s")


def changed(**fields: Any) -> Callable[[World], bytes]:
    """The newest snapshot with other values in some fields."""
    return lambda world: msgspec.json.encode({**msgspec.json.decode(world.at(len(world.stored))), **fields})


def older(**fields: Any) -> Callable[[World], bytes]:
    """A snapshot of some time ago, likewise."""
    return lambda world: msgspec.json.encode({**msgspec.json.decode(world.at(LONG)), **fields})


def of_another_session(world: World) -> bytes:
    state = State("other", STAGES)
    for number, data in enumerate(OTHER):
        apply(state, data, number + 2)
    return dump(state)


def of_another_history(world: World) -> bytes:
    """All as it should be, but of a session of that name that went another way."""
    return of_another_session(world).replace(b'"session":"other"', b'"session":"s"')


LIES: dict[str, Callable[[World], bytes]] = {
    "torn": lambda world: world.at(LONG)[:-7],
    "no JSON": lambda world: b"\xff",
    "no snapshot": lambda world: b"[]",
    "empty": lambda world: b"",
    "another session": of_another_session,
    "another history": of_another_history,
    "another release": changed(version=10**6),
    "another definition": changed(digest="0" * 64),
    "a head that is none of its events": changed(head="0" * 64),
    "an old head": older(head="0" * 64),
    "a number too high": changed(n=len(HISTORY) + 1),
    "a number too low": changed(n=len(HISTORY) - 1),
    "an old state with the newest number": older(n=len(HISTORY)),
    "an old state with the newest sequence": older(seq=len(HISTORY) + 1),
    "an old state with the newest number and sequence": older(n=len(HISTORY), seq=len(HISTORY) + 1),
    "a sequence before the first": changed(seq=0),
    "a sequence behind the last": changed(seq=10**6),
    "no sequence": changed(seq=None),
    "an old state without its scopes": older(scopes=[]),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_snapshot_that_the_log_does_not_bear_out_is_not_used(lie: str) -> None:
    world = World(MemoryBus())
    await world.store()
    await world.answer(LIES[lie](world))
    await world.loads_all_the_same()
    assert world.reads.after[-1] == 0, "the history was not read whole"


async def test_an_archived_session_is_what_its_last_event_says() -> None:
    world = World(bus := MemoryBus())
    await world.store()
    await world.answer(world.at(len(HISTORY)))
    archived = SessionArchived(
        session="s",
        n=len(HISTORY) + 1,
        at="2030-01-01T00:00:00Z",
        prev=hash_of(HISTORY[-1]),
        head=hash_of(HISTORY[-1]),
        count=len(HISTORY),
        last_command=1,
        export_digest="0" * 64,
    )
    last = await bus.events.append("s", [encode(archived)], world.stored[-1].seq)
    await bus.events.forget("s", last)
    state = await world.loader.load("s", 0)
    assert (state.n, state.outcome) == (len(HISTORY) + 1, "archived")
    assert bus.snapshots.asked == 0
