"""The client against a real server and a real engine, with nothing but NATS between them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.client import Client, Outcome, commands, connect
from stageflow_es.client.commands import SEND_ATTEMPTS
from stageflow_es.client.follow import UnknownEvent, decode
from stageflow_es.client.hearing import Take
from stageflow_es.client.queries import QueryRefused
from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import CommandRejected, DefinitionError, OperatorError, SessionFailed
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of

from .conftest import ASK, DOOMED, until

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_session_is_started_answered_and_completes(client: Client) -> None:
    session = await client.start(ASK, labels={"kind": "test"})
    await session.input("answer", 42)
    outcome = await session.result(timeout=20)
    assert outcome == Outcome(session=session.id, status="completed", artifacts={"answer": 42}, version=outcome.version)


async def test_a_bad_definition_is_rejected_with_every_problem_at_its_place(client: Client) -> None:
    bad = {"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "NoSuchStage", "next": "nowhere"}]}
    with pytest.raises(CommandRejected) as rejected:
        await client.start(bad)
    assert {problem.path for problem in rejected.value.problems} >= {"/nodes/0/stage", "/nodes/0/next"}
    assert rejected.value.command_seq


@pytest.mark.parametrize("name", ["", "line@home", "\udcff"])
async def test_a_pipeline_is_given_no_name_it_could_not_be_started_by(client: Client, name: str) -> None:
    with pytest.raises(DefinitionError, match="cannot be named"):
        await client.register(name, ASK)


async def test_a_start_sent_twice_under_one_key_starts_once(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LOOK_AFTER", 0.02)
    session = await client.start(ASK, session="once", id="once-1")
    again = await client.start(ASK, session="once", id="once-1")
    assert [event.n for event in await again.history()] == [1, 2]
    assert again.id == session.id


async def test_a_second_start_of_a_session_is_rejected(client: Client) -> None:
    await client.start(ASK, session="taken")
    with pytest.raises(CommandRejected, match="exists"):
        await client.start(ASK, session="taken")


async def test_an_input_to_nobody_is_rejected(client: Client) -> None:
    with pytest.raises(CommandRejected, match="nobody"):
        await client.session("nobody").input("answer", 1)


async def test_an_input_that_does_not_fit_is_rejected_and_the_wait_goes_on(client: Client) -> None:
    session = await client.start(ASK)
    await until(client, session.id, "waiting_for_input")
    with pytest.raises(CommandRejected):
        await session.input("answer", "forty-two")
    await session.input("answer", 42)
    assert (await session.result(timeout=20)).artifacts == {"answer": 42}


@pytest.mark.parametrize(
    ("start", "place"),
    [
        ({"pipeline": ASK, "payload": [1]}, "/payload"),
        ({"pipeline": ASK, "payload": "order"}, "/payload"),
        ({"pipeline": ASK, "labels": {"tier": 1}}, "/labels"),
        ({"pipeline": ASK, "labels": {"": "gold"}}, "/labels"),
        ({"pipeline": ASK, "labels": {"tier=": "gold"}}, "/labels"),
        ({"pipeline": None}, "/pipeline"),
        ({"pipeline": [ASK]}, "/pipeline"),
    ],
)
async def test_a_start_no_engine_would_take_is_refused_before_it_is_sent(
    client: Client, start: dict[str, Any], place: str
) -> None:
    with pytest.raises(CommandRejected) as rejected:
        await client.start(**start, session="unsent", wait=False)
    assert rejected.value.problems[0].path.startswith(place)
    assert not await client.session("unsent").history()


async def test_an_input_without_a_type_is_refused_before_it_is_sent(client: Client) -> None:
    session = await client.start(ASK)
    with pytest.raises(CommandRejected, match="not empty"):
        await session.input("", 1, wait=False)


@pytest.mark.parametrize("document", [None, "order", [1]])
async def test_what_is_no_definition_is_not_registered(client: Client, document: Any) -> None:
    with pytest.raises(DefinitionError):
        await client.register("order", document)


@pytest.mark.parametrize("id", ["", "with.dot", "a b", "ü", "x" * 129, "*"])
async def test_an_id_that_is_none_is_refused_before_it_is_sent(client: Client, id: str) -> None:
    with pytest.raises(CommandRejected, match="session id"):
        await client.session(id).stop()


@pytest.mark.parametrize("id", ["a\r\nNats-Batch-Commit: 1", "tab\t", "\udcff", 7])
async def test_a_key_that_is_no_line_of_a_header_is_refused_before_it_is_sent(client: Client, id: Any) -> None:
    with pytest.raises(CommandRejected, match="control characters"):
        await client.start(ASK, session="unkeyed", id=id)
    assert not await client.session("unkeyed").history()


async def test_a_session_is_paused_resumed_and_stopped(client: Client) -> None:
    session = await client.start(ASK)
    await session.pause(reason="lunch")
    with pytest.raises(CommandRejected, match="paused"):
        await session.pause()
    await session.resume()
    await session.stop()
    assert (await session.result(timeout=20)).result == {"result": "stopped"}


async def test_a_skipable_stage_is_skipped(client: Client) -> None:
    session = await client.start(ASK)
    await until(client, session.id, "waiting_for_input")
    await session.skip()
    assert (await session.result(timeout=20)).status == "completed"
    with pytest.raises(CommandRejected):
        await session.skip()


async def test_a_failed_session_raises_and_can_be_retried(client: Client) -> None:
    session = await client.start(DOOMED)
    with pytest.raises(SessionFailed, match="broken"):
        await session.result(timeout=20)
    await session.retry()
    assert (await session.result(timeout=20)).status == "completed"


async def test_result_gives_up_after_its_timeout(client: Client) -> None:
    session = await client.start(ASK)
    with pytest.raises(TimeoutError):
        await session.result(timeout=0.05)


async def test_many_are_started_at_once(client: Client) -> None:
    sessions = await client.start_many([{"pipeline": ASK, "session": f"many-{i}"} for i in range(40)])
    await asyncio.gather(*(session.input("answer", i) for i, session in enumerate(sessions)))
    outcomes = await asyncio.gather(*(session.result(timeout=20) for session in sessions))
    assert [outcome.artifacts["answer"] for outcome in outcomes] == list(range(40))


async def test_events_come_as_they_are_stored(client: Client) -> None:
    """So the hash chain can be checked from what a client gets."""
    session = await client.start(ASK)
    await session.input("answer", 1)
    live = [data async for data in session.raw_events()]
    assert live == await session.raw_history()
    assert [decode(data).prev for data in live[1:]] == [hash_of(data) for data in live[:-1]]  # type: ignore[union-attr]


async def test_a_client_that_was_closed_says_so_instead_of_missing_a_service(nats_server: EmbeddedServer) -> None:
    async with connect(nats_server.url) as client:
        session = client.session("s")
    for ask in (session.get, session.stop, lambda: session.stop(wait=False)):
        with pytest.raises(OperatorError, match="the connection is closed"):
            await ask()


async def test_who_waits_for_an_answer_when_the_client_is_closed_is_told_that_the_command_is_kept(
    nats_server: EmbeddedServer, bus: JetStreamBus, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LOOK_AFTER", 0.02)
    await engine.stop()
    async with connect(nats_server.url, prefix=bus.settings.prefix) as client:
        stored, store = asyncio.Event(), client._sender._outbox.store

        async def noting(subject: str, payload: bytes, key: str) -> int:
            seq = await store(subject, payload, key)
            stored.set()
            return seq

        monkeypatch.setattr(client._sender._outbox, "store", noting)
        waiting = asyncio.create_task(client.start(ASK))
        await stored.wait()
    with pytest.raises(OperatorError, match=r"closed. The command is kept"):
        await waiting


async def test_a_command_under_way_when_the_client_is_closed_may_be_kept(
    nats_server: EmbeddedServer, bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(nats_server.url, prefix=bus.settings.prefix) as client:

        async def closing(subject: str, payload: bytes, key: str) -> int:
            await client.close()
            raise Unanswered("the connection was closed")

        monkeypatch.setattr(client._sender._outbox, "store", closing)
        with pytest.raises(OperatorError, match="may be kept"):
            await client.start(ASK, wait=False)


async def test_an_answer_that_was_not_heard_is_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LOOK_AFTER", 0.02)
    monkeypatch.setattr(commands._Watch, "take", lambda self, rejected, data: None)
    session = await client.start(ASK)
    with pytest.raises(CommandRejected, match="not paused"):
        await session.resume()
    for _ in range(2):
        with pytest.raises(CommandRejected, match="nobody"):
            await client.session("nobody").stop()
    await session.input("answer", 1)
    assert (await session.result(timeout=20)).artifacts == {"answer": 1}


async def test_an_answer_that_was_not_heard_is_read_also_while_other_things_are_heard_without_a_pause(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LOOK_AFTER", 0.2)
    session = await client.start(ASK, session="once", id="once-1")
    stored = client.journal(session.id)
    other = (await stored.read())[-1].data.replace(b"once-1", b"other")
    begin, loop = client._hearing.begin, asyncio.get_running_loop()
    talking: list[asyncio.TimerHandle] = []

    async def of_a_session_that_talks(id: str, take: Take) -> None:
        def talk() -> None:
            take(False, other)
            talking[:] = [loop.call_later(0.02, talk)]

        await begin(id, take)
        talk()

    monkeypatch.setattr(client._hearing, "begin", of_a_session_that_talks)
    client.timeout = 5
    assert (await client.start(ASK, session="once", id="once-1")).id == session.id
    talking[0].cancel()


async def test_when_one_of_many_starts_fails_no_more_are_sent(client: Client) -> None:
    bad = {"pipeline": ASK, "session": "no id"}
    starts = [bad, *({"pipeline": ASK, "session": f"unsent-{number}"} for number in range(8))]
    with pytest.raises(CommandRejected, match="session id"):
        await client.start_many(starts, at_once=1)
    await (await client.start(ASK)).stop()
    assert not any([await client.session(start["session"]).history() for start in starts[1:]])


async def test_an_export_that_is_overtaken_by_its_session_s_archiving_says_so(client: Client, tmp_path: Path) -> None:
    session = await client.start(ASK)
    await session.stop()
    lines = session.export()
    await anext(lines)
    async with client.archivist(tmp_path) as archivist:
        await archivist.archive(session.id)
    with pytest.raises(OperatorError, match="purged while they were read"):
        await anext(lines)


async def test_commands_to_several_sessions_under_one_key_are_each_applied(client: Client) -> None:
    """The server takes two messages under one key for one, whatever sessions they are for."""
    sessions = await client.start_many([{"pipeline": ASK, "session": id, "id": "start"} for id in ("one", "one-more")])
    await asyncio.gather(*(session.input("answer", 1, id="answer") for session in sessions))
    assert [(await session.result(timeout=20)).artifacts for session in sessions] == [{"answer": 1}] * 2


@pytest.mark.parametrize("id", ["*", ">", "a.b", "a b", ""])
async def test_an_id_that_is_none_reads_nothing_of_any_session(client: Client, id: str) -> None:
    await (await client.start(ASK)).stop()
    none = client.session(id)
    async with asyncio.timeout(20):
        for ask in (none.history, none.result, none.verify, none.get, none.state, lambda: anext(none.events())):
            with pytest.raises(QueryRefused, match="is not 1 to 128 letters"):
                await ask()


async def test_an_event_of_a_newer_release_is_passed_on() -> None:
    data = b'{"type":"stage_teleported","session":"s","n":7,"at":"2030-01-01T00:00:00Z","to":"moon"}'
    event = decode(data)
    assert isinstance(event, UnknownEvent)
    assert (event.type, event.n, event.data) == ("stage_teleported", 7, data)


async def test_a_registered_pipeline_is_started_by_name_and_by_version(client: Client) -> None:
    old = await client.register("ask", ASK)
    new = await client.register("ask", DOOMED)

    assert await client.pipelines() == {"ask": new}
    assert await client.definition(f"ask@{old[:12]}") == ASK
    assert await client.definition("ask") == await client.definition(new) == DOOMED
    assert await client.definition("unknown") is None

    session = await client.start(f"ask@{old}")
    (started, *_) = await session.history()
    assert isinstance(started, ev.SessionStarted)
    assert started.digest == old


async def test_a_definition_with_problems_is_not_registered(client: Client) -> None:
    with pytest.raises(DefinitionError):
        await client.register("bad", {"entry": "a", "nodes": []})
    assert await client.pipelines() == {}


async def test_without_a_query_service_a_question_says_so(client: Client) -> None:
    with pytest.raises(OperatorError, match="query service"):
        await client.session("x").get()


async def test_a_query_service_that_is_there_and_silent_is_not_said_to_be_missing(client: Client) -> None:
    listener = await client.link.client.listen(client.names.query("session.get"), lambda question: None)
    client.link.timeout = 0.02
    with pytest.raises(OperatorError, match="has not answered"):
        await client.session("x").get()
    await listener.close()


async def test_without_an_engine_a_start_says_that_it_is_kept_as_soon_as_its_time_is_over(
    nats_server: EmbeddedServer, bus: JetStreamBus, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "LOOK_AFTER", 3600)
    await engine.stop()
    async with connect(nats_server.url, prefix=bus.settings.prefix, timeout=0.1) as hasty:
        with pytest.raises(OperatorError, match="as soon as an engine runs"):
            await hasty.start(ASK)
        await hasty.start(ASK, wait=False)


async def test_where_no_engine_ever_ran_a_start_says_so(nats_server: EmbeddedServer) -> None:
    async with connect(nats_server.url, prefix="nowhere") as lost:
        with pytest.raises(OperatorError, match="no engine has ever run"):
            await lost.start(ASK)


async def test_while_no_server_leads_the_commands_stream_a_command_is_sent_again(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = client._sender._outbox
    store, silences = outbox.store, iter([Unanswered("nobody")] * SEND_ATTEMPTS + [ApiError(409, 10158, "in process")])

    async def elected_late(subject: str, payload: bytes, key: str) -> int:
        for silence in silences:
            raise silence
        return await store(subject, payload, key)

    monkeypatch.setattr(outbox, "store", elected_late)
    await client.start(ASK)
    assert next(silences, None) is None


async def test_a_command_that_nothing_takes_in_time_may_be_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(subject: str, payload: bytes, key: str) -> int:
        raise Unanswered("nobody")

    monkeypatch.setattr(client._sender._outbox, "store", silent)
    monkeypatch.setattr(client, "timeout", 0.1)
    with pytest.raises(OperatorError, match="may be kept"):
        await client.start(ASK, wait=False)
