"""Following a session, on a real server: all its events, each once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.client import Client, SessionHandle, connect, follow
from stageflow_es.client.follow import UNREADABLE
from stageflow_es.client.journal import Journal
from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import CommandRejected, SessionFailed
from stageflow_es.session import events as ev

from .conftest import ASK, DOOMED, STAGES, until

pytestmark = pytest.mark.usefixtures("engine")


def _noting_waits(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when a follower has told all there is and waits for more."""
    waits, next_ = asyncio.Event(), follow._Live.next

    def noting(live: follow._Live) -> Any:
        waits.set()
        return next_(live)

    monkeypatch.setattr(follow._Live, "next", noting)
    return waits


async def _numbers(session: SessionHandle, start: int) -> list[int]:
    async with asyncio.timeout(20):
        return [event.n async for event in session.events(start)]


async def test_events_are_the_history_and_then_live_and_end_with_the_session(client: Client) -> None:
    session = await client.start(ASK)
    await until(client, session.id, "waiting_for_input")
    types = []
    async with aclosing(session.events()) as events:
        async for event in events:
            types.append(type(event))
            if isinstance(event, ev.WaitingForInput):
                await session.input("answer", 1)
    assert types[:3] == [ev.SessionStarted, ev.WaitingForInput, ev.UserInput]
    assert types[-1] is ev.SessionCompleted
    await client._hearing.close()
    assert len(client.link.client.listeners) == 1  # to answers


async def test_events_from_a_number_on_begin_there(client: Client) -> None:
    session = await client.start(ASK)
    await session.stop()
    whole = [event.n async for event in session.events()]
    assert [event.n async for event in session.events(from_=2)] == whole[1:]
    assert [event.n async for event in session.events(from_=100)] == []
    assert [event.n for event in await session.history(2)] == whole[1:]


async def test_who_begins_behind_what_there_is_ends_with_the_session(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await client.start(ASK)
    waits = _noting_waits(monkeypatch)
    following = asyncio.create_task(_numbers(session, 100))
    await waits.wait()
    await session.stop()
    assert await following == []


async def test_who_begins_where_a_session_failed_stays_for_what_comes(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there behind the failure is told although nothing of it was delivered live."""
    session = await client.start(DOOMED)
    with pytest.raises(SessionFailed):
        await session.result(timeout=20)
    failed = len(await session.history())
    read, reads = Journal.read, count()

    async def retried_meanwhile(journal: Journal) -> Any:
        if next(reads) == 1:
            with pytest.raises(CommandRejected):
                await session.resume()
        return await read(journal)

    monkeypatch.setattr(Journal, "read", retried_meanwhile)
    monkeypatch.setattr(follow._Live, "take", lambda self, message: None)
    monkeypatch.setattr(follow, "SILENCE", 0.05)
    assert await _numbers(session, failed + 1) == [failed + 1]


async def test_a_follower_whose_client_is_closed_ends_with_that(
    nats_server: EmbeddedServer, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SILENCE", 0.05)
    monkeypatch.setattr(follow, "UNREADABLE", 10**9)
    async with connect(nats_server.url, prefix=bus.settings.prefix) as client:
        following = aiter((await client.start(ASK)).events())
        await anext(following)
        await anext(following)
        waiting = asyncio.create_task(anext(following))
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        with pytest.raises(Unanswered, match="closed"):
            await waiting


async def test_a_session_that_lives_while_its_follower_begins_is_told_from_its_first_event(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Journal.read

    async def too_early(journal: Journal) -> list[object]:
        monkeypatch.setattr(Journal, "read", read)
        session = await client.start(ASK, session="brief")
        await session.input("answer", 42)
        await session.result(timeout=20)
        return []

    monkeypatch.setattr(Journal, "read", too_early)
    told = [event.n async for event in client.session("brief").events()]
    assert told == [event.n for event in await client.session("brief").history()]


async def test_a_failure_does_not_end_a_follower_that_was_told_to_stay(client: Client) -> None:
    session = await client.start(DOOMED)
    types = []
    async with aclosing(session.events(follow=True)) as events:
        async for event in events:
            types.append(type(event))
            if isinstance(event, ev.SessionFailed):
                await session.retry()
            if isinstance(event, ev.SessionCompleted):
                break
    assert ev.SessionRetried in types


async def test_a_failure_that_was_retried_is_no_end(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    last = {"id": "last", "type": "stage", "stage": "Ask", "next": "end"}
    session = await client.start(
        {**DOOMED, "nodes": [{**DOOMED["nodes"][0], "next": "last"}, last, DOOMED["nodes"][1]]}
    )
    with pytest.raises(SessionFailed):
        await session.result(timeout=20)
    await session.retry()
    await until(client, session.id, "waiting_for_input")
    waits = _noting_waits(monkeypatch)
    following = asyncio.create_task(_numbers(session, 1))
    await waits.wait()
    await session.input("answer", 1)
    assert await following == [event.n for event in await session.history()]


async def test_what_live_delivery_loses_is_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that is slower than its session loses live events, and gets them from the history."""
    monkeypatch.setattr(follow, "PENDING", 1)
    session = await client.start(ASK)
    numbers = []
    async with aclosing(session.events()) as events:
        async for event in events:
            numbers.append(event.n)
            if isinstance(event, ev.WaitingForInput):
                await session.pause()
                await session.resume()
                await session.input("answer", 1)
                await until(client, session.id, "session_completed")
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) > 6


async def test_an_end_that_was_never_delivered_is_found(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last events have none after them that would show the gap; silence makes the follower ask."""
    monkeypatch.setattr(follow, "SILENCE", 0.1)

    monkeypatch.setattr(follow._Live, "take", lambda self, message: None)
    session = await client.start(ASK)
    await session.input("answer", 1)
    assert (await session.result(timeout=20)).status == "completed"


async def test_a_history_that_is_not_answered_at_first_is_asked_for_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await client.start(ASK)
    await session.stop()
    read, silences = Journal.read, iter([Unanswered("nobody")] * (UNREADABLE - 1))

    async def answered_late(journal: Journal) -> Any:
        for silence in silences:
            raise silence
        return await read(journal)

    monkeypatch.setattr(Journal, "read", answered_late)
    monkeypatch.setattr(follow, "SILENCE", 0.05)
    assert [event.n async for event in session.events()] == [1, 2, 3]


async def test_a_follower_sees_its_session_through_a_restart_of_the_server_even_if_it_begins_meanwhile(
    own_nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url)
    engine = Engine(bus, name="engine", stages=STAGES)
    await engine.start()
    async with connect(own_nats_server.url) as client:
        session = await client.start(ASK)
        types = []
        async with aclosing(session.events()) as events:
            async for event in events:
                types.append(type(event))
                if isinstance(event, ev.WaitingForInput):
                    own_nats_server.kill()  # nobody has noticed yet
                    late = asyncio.create_task(anext(session.events()))
                    await asyncio.to_thread(own_nats_server.start)
                    await session.input("answer", 1)
        assert types[-1] is ev.SessionCompleted
        assert [event.n for event in await session.history()] == list(range(1, len(types) + 1))
        assert isinstance(await late, ev.SessionStarted)
    await engine.stop()
    await bus.close()
