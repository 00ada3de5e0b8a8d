"""Waiting for what sessions come to: those that have ended, those that end soon, and those that take their time."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es.client import Client, SessionHandle, ending, hearing
from stageflow_es.client.hearing import MANY
from stageflow_es.errors import CommandRejected, SessionFailed

from .conftest import ASK, DOOMED

pytestmark = pytest.mark.usefixtures("engine")


async def _ended(client: Client) -> SessionHandle:
    session = await client.start(ASK)
    await session.input("answer", 1)
    await session.result(timeout=20)
    return session


async def test_what_has_ended_is_told_without_following_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await _ended(client)
    await client._hearing.close()
    monkeypatch.setattr(SessionHandle, "raw_events", None)
    assert (await session.result(timeout=20)).artifacts == {"answer": 1}


async def test_what_ends_soon_is_told_without_following_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionHandle, "raw_events", None)
    session = await client.start(ASK)
    waiting = asyncio.create_task(session.result(timeout=20))
    await session.input("answer", 1)
    assert (await waiting).artifacts == {"answer": 1}


async def test_what_takes_its_time_is_followed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SOON", 0.0)
    session = await client.start(ASK)
    followed = asyncio.Event()
    follow = client.follow

    def noting(session: str, start: int, follow_on: bool):  # type: ignore[no-untyped-def]
        followed.set()
        return follow(session, start, follow_on)

    monkeypatch.setattr(client, "follow", noting)
    waiting = asyncio.create_task(session.result(timeout=20))
    await followed.wait()
    await session.input("answer", 1)
    assert (await waiting).artifacts == {"answer": 1}


async def test_a_command_that_came_too_late_does_not_hide_the_end(client: Client) -> None:
    session = await _ended(client)
    with pytest.raises(CommandRejected):
        await session.input("answer", 2)
    assert (await session.result(timeout=20)).artifacts == {"answer": 1}


async def test_a_refusal_is_no_end(client: Client) -> None:
    session = await client.start(ASK)
    with pytest.raises(CommandRejected):
        await session.resume()
    waiting = asyncio.create_task(session.result(timeout=20))
    await session.input("answer", 1)
    assert (await waiting).artifacts == {"answer": 1}


async def test_a_failure_that_a_replica_still_takes_for_the_end_is_none(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await client.start(DOOMED)
    with pytest.raises(SessionFailed):
        await session.result(timeout=20)
    failure = (await session.raw_history())[-1]
    await session.retry()

    async def behind(*question: object) -> bytes:
        return failure

    monkeypatch.setattr(ending, "latest", behind)
    await client._hearing.close()
    assert (await session.result(timeout=20)).status == "completed"


async def test_what_was_heard_is_not_asked_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await _ended(client)
    monkeypatch.setattr(ending, "latest", None)
    assert (await session.result(timeout=20)).artifacts == {"answer": 1}


async def test_what_nobody_waits_for_any_more_is_heard_no_longer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "LINGER", 0.0)
    session = await _ended(client)
    with pytest.raises(CommandRejected):
        await session.stop()
    while client._hearing._sweeping is not None:
        await client._hearing._sweeping
    assert not client._hearing._ears


async def test_many_waits_share_their_subscriptions(client: Client) -> None:
    sessions = [client.session(f"late-{number}") for number in range(2 * MANY)]
    await client.start_many([{"pipeline": ASK, "session": session.id} for session in sessions])
    await client._hearing.close()
    waiting = [asyncio.create_task(session.result(timeout=20)) for session in sessions]
    await asyncio.gather(*(session.input("answer", 1) for session in sessions))
    await asyncio.gather(*waiting)
    assert len(client.link.client.listeners) < 2 * len(sessions)
