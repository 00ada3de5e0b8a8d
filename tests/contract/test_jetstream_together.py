"""What goes out together: chains of one session's events, and messages of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.frames import frame
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.outbox import Outbox
from stageflow_es.engine.ports import Refused, Unanswered, WrongSequence
from tests.contract.conftest import settings


@pytest.fixture
async def jetstream(nats_server: EmbeddedServer) -> AsyncIterator[JetStreamBus]:
    bus = await JetStreamBus.connect(nats_server.url, settings())
    yield bus
    await bus.close()


@pytest.fixture
async def link(jetstream: JetStreamBus) -> AsyncIterator[Link]:
    link = await Link.open(jetstream.connection, 5.0)
    yield link
    await link.close()


def altered(
    bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[bytes]], Sequence[bytes]]
) -> None:
    """Have other messages arrive than those of the next write."""
    send = bus.connection.send

    async def send_others(frames: bytes) -> None:
        monkeypatch.undo()
        await send(b"".join(change([b"HPUB " + one for one in frames.split(b"HPUB ")[1:]])))

    monkeypatch.setattr(bus.connection, "send", send_others)


def between(bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch, foreign: bytes) -> None:
    """Have another message arrive behind the first of the next write."""
    altered(bus, monkeypatch, lambda messages: [messages[0], foreign, *messages[1:]])


async def test_a_chain_with_another_sessions_event_in_its_middle_is_stored_whole(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = frame(jetstream.names.append("other").encode(), b"", b"", b"x")
    between(jetstream, monkeypatch, other)
    last = await jetstream.events.append("s", [b"1", b"2", b"3"], 0)
    events = await jetstream.events.read("s")
    assert [event.data for event in events] == [b"1", b"2", b"3"]
    assert events[-1].seq == last
    assert events[1].seq > events[0].seq + 1


async def test_a_chain_with_a_rivals_event_in_its_middle_is_refused_from_there(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    rival = frame(jetstream.names.append("s").encode(), b"", b"", b"rival")
    between(jetstream, monkeypatch, rival)
    with pytest.raises(WrongSequence):
        await jetstream.events.append("s", [b"1", b"2", b"3"], 0)
    assert [event.data for event in await jetstream.events.read("s")] == [b"1", b"rival"]


async def test_many_messages_of_one_moment_are_stored_in_their_order(jetstream: JetStreamBus, link: Link) -> None:
    outbox = Outbox(link)
    names = jetstream.names
    stored = await asyncio.gather(
        *(outbox.store(names.command("input", f"s{number}"), b"x", f"s{number}-1") for number in range(100))
    )
    assert stored == sorted(stored)
    assert await outbox.store(names.command("input", "s"), b"x", "s-1") > stored[-1]


async def test_one_message_that_was_sent_before_does_not_spoil_the_others(jetstream: JetStreamBus, link: Link) -> None:
    outbox = Outbox(link)
    subject = jetstream.names.command("input", "s")
    keys = [f"s-{number}" for number in range(40)]
    first = await outbox.store(subject, b"x", keys[7])
    stored = await asyncio.gather(*(outbox.store(subject, b"x", key) for key in keys))
    assert len(set(stored)) == 40
    assert stored[7] == first


async def test_a_message_that_is_too_large_is_refused_and_goes_nowhere(jetstream: JetStreamBus, link: Link) -> None:
    outbox = Outbox(link)
    subject = jetstream.names.command("input", "s")
    large = asyncio.create_task(outbox.store(subject, b"x" * jetstream.connection.max_payload, "s-large"))
    stored = await asyncio.gather(*(outbox.store(subject, b"x", f"s-{number}") for number in range(20)))
    assert len(set(stored)) == 20
    with pytest.raises(Refused, match="more than the server takes"):
        await large


async def test_who_waits_when_the_outbox_is_closed_learns_that_nobody_knows(
    jetstream: JetStreamBus, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(link)
    sent = asyncio.Event()

    async def lost(frames: bytes) -> None:
        sent.set()

    monkeypatch.setattr(jetstream.connection, "send", lost)
    waiting = [asyncio.create_task(outbox.store("s", b"x", f"{number}")) for number in range(20)]
    await sent.wait()
    waiting.append(asyncio.create_task(outbox.store("s", b"x", "later")))
    await asyncio.sleep(0)
    await outbox.close()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Unanswered] * 21


async def test_appends_of_one_moment_are_told_of_as_one_round(jetstream: JetStreamBus) -> None:
    await asyncio.gather(*(jetstream.events.append(f"s{i}", [b"1", b"2"], 0) for i in range(30)))
    told = jetstream.commits()
    assert (told.events, told.largest) == (60, 60)
    assert told.rounds == 1
    assert 0 < told.p50 <= told.p99
    assert jetstream.commits().events == 0


async def test_more_events_of_one_moment_than_a_batch_may_have_are_all_stored(jetstream: JetStreamBus) -> None:
    """Of 400 sessions, half go out together at first."""
    stored = await asyncio.gather(*(jetstream.events.append(f"s{number}", [b"x"] * 6, 0) for number in range(400)))
    assert len(set(stored)) == 400


async def test_who_appends_to_a_log_that_was_closed_is_told_so(jetstream: JetStreamBus) -> None:
    await jetstream.events.append("s", [b"1"], 0)
    await jetstream.events.close()
    with pytest.raises(Unanswered, match="closed"):
        await asyncio.wait_for(jetstream.events.append("s", [b"2"], 1), 10)


async def test_an_append_whose_answer_is_lost_with_the_connection_is_told_at_once(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = asyncio.Event()

    async def lost(frames: bytes) -> None:
        sent.set()

    monkeypatch.setattr(jetstream.connection, "send", lost)
    waiting = asyncio.ensure_future(jetstream.events.append("s", [b"1", b"2"], 0))
    await sent.wait()
    await jetstream.connection.lost()
    with pytest.raises(Unanswered, match="the connection was lost"):
        await waiting


async def test_a_chain_of_which_some_answers_are_lost_is_nobodys_knowledge(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(jetstream, monkeypatch, lambda messages: messages[:1])
    waiting = asyncio.ensure_future(jetstream.events.append("s", [b"1", b"2"], 0))
    while not await jetstream.events.read("s"):
        assert not waiting.done()
    await jetstream.connection.lost()
    with pytest.raises(Unanswered, match="the connection was lost"):
        await waiting


async def test_a_batch_that_arrives_in_part_is_not_refused_for_good(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered(jetstream, monkeypatch, lambda messages: messages[1:])
    with pytest.raises(Unanswered, match="incomplete"):
        await jetstream.events.append("s", [b"x"] * 20, 0)
    assert await jetstream.events.append("s", [b"x"] * 20, 0) == 20


async def test_a_batch_is_not_refused_for_good_while_too_many_are_under_way(jetstream: JetStreamBus) -> None:
    subject = jetstream.names.append("other").encode()
    opened = [frame(subject, b"", b"Nats-Batch-Id: b%d\r\nNats-Batch-Sequence: 1\r\n" % one, b"x") for one in range(50)]
    await jetstream.connection.send(b"".join(opened))
    with pytest.raises(Unanswered, match="incomplete"):
        await jetstream.events.append("s", [b"x"] * 20, 0)
