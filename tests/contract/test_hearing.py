"""Hearing what is said of sessions whose commands are under way, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer
from stageflow_es.bus.jetstream.connection import Connection, connect
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client import hearing as client_hearing
from stageflow_es.client.hearing import MANY, Hearing
from tests.contract.servers import Configured

NAMES = Names("heard")
KNOWN = ["mine", *(f"s{number}" for number in range(MANY))]
MAY_HEAR = ["_INBOX.>", *map(NAMES.event, KNOWN), *map(NAMES.rejection, KNOWN)]
NARROW = f"""
authorization {{ users: [{{user: narrow, password: p, permissions: {{subscribe: {json.dumps(MAY_HEAR)}}}}}] }}
"""
PAIR = 2
"""Subscriptions, to events and to rejections."""


class Ear:
    """One who listens to a session. `heard`: whether it was a rejection, and its bytes."""

    def __init__(self, hearing: Hearing, session: str) -> None:
        self.session = session
        self.heard: list[tuple[bool, bytes]] = []
        self._hearing = hearing

    def take(self, rejected: bool, data: bytes) -> None:
        self.heard.append((rejected, data))

    async def begin(self) -> Ear:
        await self._hearing.begin(self.session, self.take)
        return self

    def end(self) -> None:
        self._hearing.end(self.session, self.take)


async def say(connection: Connection, session: str, words: bytes) -> None:
    """Return once everybody on this connection heard it, as an event and as a rejection."""
    await connection.publish(NAMES.event(session), words)
    await connection.publish(NAMES.rejection(session), b"no " + words)
    await connection.flush()


async def swept(hearing: Hearing) -> None:
    """Return once nothing is heard that nobody wants."""
    while hearing._sweeping is not None:
        await hearing._sweeping


def said(*words: bytes) -> list[tuple[bool, bytes]]:
    return [one for word in words for one in ((False, word), (True, b"no " + word))]


@pytest.fixture
async def connection(nats_server: EmbeddedServer) -> AsyncIterator[Connection]:
    connection = await connect(nats_server.url)
    yield connection
    await connection.close()


@pytest.mark.parametrize("sessions", [1, MANY - 1, MANY, 2 * MANY])
async def test_each_hears_its_own_session_and_only_while_it_listens(connection: Connection, sessions: int) -> None:
    hearing = Hearing(connection, NAMES)
    ears = [await Ear(hearing, f"s{number}").begin() for number in range(sessions)]
    for ear in (*ears, Ear(hearing, "stranger")):
        await say(connection, ear.session, ear.session.encode())
    assert [ear.heard for ear in ears] == [said(ear.session.encode()) for ear in ears]
    for ear in ears:
        ear.end()
        await say(connection, ear.session, b"later")
    assert [ear.heard for ear in ears] == [said(ear.session.encode()) for ear in ears]
    await hearing.close()
    assert not connection.listeners


async def test_many_are_heard_through_one_pair_of_subscriptions(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_hearing, "LINGER", 0)
    hearing = Hearing(connection, NAMES)
    ears = [await Ear(hearing, f"s{number}").begin() for number in range(10 * MANY)]
    assert len(connection.listeners) == PAIR * MANY
    for ear in ears[: MANY - 1]:
        ear.end()
    await swept(hearing)
    assert len(connection.listeners) == PAIR
    for ear in ears[MANY - 1 :]:
        ear.end()
    await swept(hearing)
    assert not connection.listeners


async def test_who_comes_back_soon_needs_no_new_subscriptions_and_finds_the_last_event_known(
    connection: Connection,
) -> None:
    hearing = Hearing(connection, NAMES)
    first = await Ear(hearing, "s").begin()
    assert hearing.last("s") is None
    first.end()
    await say(connection, "s", b"words")
    assert hearing.last("s") == b"words"
    again = await Ear(hearing, "s").begin()
    assert len(connection.listeners) == PAIR
    await say(connection, "s", b"more")
    assert (first.heard, again.heard) == ([], said(b"more"))
    await hearing.close()


async def test_what_was_said_last_is_not_known_when_the_connection_was_lost_since(connection: Connection) -> None:
    hearing = Hearing(connection, NAMES)
    await Ear(hearing, "s").begin()
    await say(connection, "s", b"words")
    await connection.lost()
    assert hearing.last("s") is None
    await hearing.close()


async def test_who_still_listens_when_all_is_closed_ends_in_peace_and_others_can_begin(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_hearing, "LINGER", 0)
    hearing = Hearing(connection, NAMES)
    ear = await Ear(hearing, "s").begin()
    (await Ear(hearing, "t").begin()).end()
    await hearing.close()
    ear.end()
    (await Ear(hearing, "s").begin()).end()
    await swept(hearing)
    assert not connection.listeners


async def test_those_nobody_wants_any_more_are_not_many(connection: Connection) -> None:
    hearing = Hearing(connection, NAMES)
    for number in range(2 * MANY):
        (await Ear(hearing, f"s{number}").begin()).end()
    assert len(connection.listeners) == PAIR * 2 * MANY
    await hearing.close()
    assert not connection.listeners


async def test_two_who_listen_to_one_session_share_its_subscriptions_until_both_are_done(
    connection: Connection,
) -> None:
    hearing = Hearing(connection, NAMES)
    one, two = [await Ear(hearing, "s").begin() for _ in range(2)]
    assert len(connection.listeners) == PAIR
    await say(connection, "s", b"first")
    one.end()
    await say(connection, "s", b"second")
    assert (one.heard, two.heard) == (said(b"first"), said(b"first", b"second"))


async def test_who_may_not_hear_all_goes_on_one_by_one(tmp_path: Path) -> None:
    with Configured(tmp_path, NARROW) as server:
        connection = await connect(server.as_user("narrow"))
        hearing = Hearing(connection, NAMES)
        ears = [await Ear(hearing, f"s{number}").begin() for number in range(MANY)]
        await connection.flush()
        mine = await Ear(hearing, "mine").begin()
        await say(connection, "mine", b"words")
        assert mine.heard == said(b"words")
        for ear in (*ears, mine):
            ear.end()
        await hearing.close()
        assert not connection.listeners
        await connection.close()


async def test_what_was_listened_to_only_while_the_server_was_away_is_not_sent_when_it_is_back(
    own_nats_server: EmbeddedServer,
) -> None:
    connection = await connect(own_nats_server.url)
    own_nats_server.kill()
    while not connection.is_reconnecting:
        await asyncio.sleep(0.001)
    heard: list[Incoming] = []
    await connection.listen("kept", heard.append)
    await (await connection.listen("gone", heard.append)).close()
    await asyncio.to_thread(own_nats_server.start)
    while not connection.is_connected:
        await asyncio.sleep(0.001)
    for subject in ("gone", "kept"):
        await connection.publish(subject, b"words")
    await connection.flush()
    assert [message.subject for message in heard] == ["kept"]
    assert connection.stats["in_msgs"] == 0  # those that nobody listens to
    await connection.close()
