"""What a reader of a JetStream log survives: lost messages, lost consumers, lost connections, and other logs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus, connect, event_log, log_identity, log_reader
from stageflow_es.bus.jetstream.direct_get import Stored
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.engine.ports import Checkpoint, LogRecreated, Refused
from tests.contract.conftest import settings, take

API = "$JS.API"


async def call(bus: JetStreamBus, path: str, body: object = None) -> dict[str, object]:
    """An operator's request to the JetStream API."""
    payload = b"" if body is None else json.dumps(body).encode()
    answer: dict[str, object] = json.loads((await bus.connection.request(f"{API}.{path}", payload, timeout=5)).data)
    assert "error" not in answer, answer
    return answer


async def consumers(bus: JetStreamBus) -> list[str]:
    names = (await call(bus, f"CONSUMER.NAMES.{bus.names.commands}"))["consumers"]
    assert isinstance(names, list)
    return names


@pytest.mark.parametrize("read_before", [0, 3])
async def test_a_history_that_is_archived_while_it_is_read_is_not_told_by_half(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch, read_before: int
) -> None:
    log, pages = jetstream.events, event_log.page
    last = await log.append("s", [b"%d" % number for number in range(9)], 0)

    async def archived_meanwhile(link: Link, stream: str, subject: str, start: int, limit: int) -> list[Stored]:
        monkeypatch.setattr(event_log, "page", pages)
        found = await pages(link, stream, subject, start, read_before) if read_before else []
        stone = await log.append("s", [b"archived"], last)
        await log.forget("s", stone)
        return found

    monkeypatch.setattr(event_log, "page", archived_meanwhile)
    with pytest.raises(Refused, match="purged while it was read"):
        await log.read("s")


async def test_a_deleted_consumer_leaves_no_gap_and_no_repetition(jetstream: JetStreamBus) -> None:
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    for number in range(4):
        await jetstream.publish("input", "s", b"%d" % number)
        assert [message.data for message in await take(reader, 1)] == [b"%d" % number]
        (name,) = await consumers(jetstream)
        await call(jetstream, f"CONSUMER.DELETE.{jetstream.names.commands}.{name}")
    await reader.close()


async def test_a_lost_connection_leaves_no_gap_and_no_repetition(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    sender = await connect(nats_server.url)
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    for number in range(3):
        await sender.publish(f"{jetstream.settings.prefix}.command.input.s", b"%d" % number)
        await sender.flush()
        assert [message.data for message in await take(reader, 1)] == [b"%d" % number]
        await jetstream.connection.force_reconnect()
    await reader.close()
    await sender.close()


async def test_messages_delivered_to_somebody_else_are_read_all_the_same(jetstream: JetStreamBus) -> None:
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    await jetstream.publish("input", "s", b"first")
    assert len(await take(reader, 1)) == 1
    stolen = await jetstream.connection.subscribe(jetstream.connection.new_inbox())
    for number in range(6):
        for name in await consumers(jetstream):
            subject = f"{API}.CONSUMER.MSG.NEXT.{jetstream.names.commands}.{name}"
            await jetstream.connection.publish(subject, b'{"batch": 9}', reply=stolen.subject)
        await jetstream.connection.flush()
        await jetstream.publish("input", "s", b"%d" % number)
        assert [message.data for message in await take(reader, 1)] == [b"%d" % number]
    assert any(stolen._pending_queue.get_nowait().data for _ in range(stolen.pending_msgs)), "nothing was stolen"
    await reader.close()


async def test_a_closed_reader_leaves_no_consumer_behind(jetstream: JetStreamBus) -> None:
    reader = await jetstream.commands.open(0, 0)
    await reader.fetch(1, 0.05)
    assert len(await consumers(jetstream)) == 1
    await reader.close()
    assert await consumers(jetstream) == []


async def test_a_reader_notices_that_its_log_was_made_anew(jetstream: JetStreamBus) -> None:
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    await jetstream.publish("input", "s", b"x")
    await take(reader, 1)
    await call(jetstream, f"STREAM.DELETE.{jetstream.names.commands}")
    with pytest.raises(LogRecreated, match="gone"):
        await jetstream.commands.created()
    again = await JetStreamBus.over(jetstream.connection, jetstream.settings)
    await again.publish("input", "s", b"y")
    with pytest.raises(LogRecreated, match="another"):
        await take(reader, 1)
    await again.close()


async def test_a_reader_that_never_waits_for_long_notices_a_consumer_that_fell_silent(jetstream: JetStreamBus) -> None:
    """As in a cluster, when the server dies that has the consumer, and the reader is connected to another."""
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    await jetstream.publish("input", "s", b"x")
    await take(reader, 1)
    await reader._inbox.close()  # type: ignore[attr-defined]
    await jetstream.publish("input", "s", b"y")
    found: list[Any] = []
    async with asyncio.timeout(10):
        while not found:
            found += await reader.fetch(1, 2 * jetstream.settings.heartbeat)
    assert [message.data for message in found] == [b"y"]
    await reader.close()


def lagging(bus: JetStreamBus, monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
    """Have a server of a cluster that knows nothing yet say so many times how long a log is."""
    link = bus.commands._link
    ask, left = link.api, iter(range(answers))

    async def of_one_that_lags(path: str, body: object = None, within: float | None = None) -> dict[str, Any]:
        answer = await ask(path, body, within)
        if path.startswith("STREAM.INFO.") and next(left, None) is not None:
            answer |= {"state": {"last_seq": 0}, "cluster": {"name": "c"}}
        return answer

    monkeypatch.setattr(link, "api", of_one_that_lags)


async def test_a_reader_waits_for_a_server_of_a_cluster_that_lags_behind(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    await jetstream.publish("input", "s", b"x")
    await take(reader, 1)
    (consumer,) = await consumers(jetstream)
    await call(jetstream, f"CONSUMER.DELETE.{jetstream.names.commands}.{consumer}")
    lagging(jetstream, monkeypatch, 2)
    await jetstream.publish("input", "s", b"y")
    assert [message.data for message in await take(reader, 1)] == [b"y"]
    lagging(jetstream, monkeypatch, 1)
    assert await jetstream.commands.open(jetstream.partition("s"), 1)
    await reader.close()


async def test_a_reader_believes_a_cluster_that_keeps_saying_that_its_log_is_shorter(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_identity, "_BELIEVED_AFTER", 0.2)
    lagging(jetstream, monkeypatch, 1000)
    with pytest.raises(LogRecreated, match="ends at 0, but was read up to 7"):
        await jetstream.commands.open(0, 7)


async def test_a_command_log_made_anew_begins_above_what_is_known_of_the_old_one(
    nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(nats_server.url, settings())
    old = await bus.commands.created()
    await bus.checkpoints.write(1, 0, Checkpoint(commands=4711, commands_created=old))
    await call(bus, f"STREAM.DELETE.{bus.names.commands}")
    again = await JetStreamBus.over(bus.connection, bus.settings)
    assert await again.publish("input", "s", b"x") > 1_000_000
    assert await again.commands.created() != old
    reader = await again.commands.open(again.partition("s"), 4711)
    assert [message.data for message in await take(reader, 1)] == [b"x"]
    await reader.close()
    await again.close()
    await bus.close()


async def test_a_fetch_ends_after_its_wait_although_the_server_does_not_answer(
    own_nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url, settings(request_timeout=0.3))
    reader = await bus.commands.open(0, 0)
    own_nats_server.kill()
    async with asyncio.timeout(5):
        assert await reader.fetch(1, 0.5) == []
    await reader.close()
    await bus.close()


async def test_what_was_sent_before_a_flush_has_come_back_when_it_returns(nats_server: EmbeddedServer) -> None:
    connection = await connect(nats_server.url)
    heard: list[bytes] = []
    subject = connection.new_inbox()
    await connection.listen(subject, lambda message: heard.append(message.data))
    for number in range(50):
        await connection.publish(subject, b"%d" % number)
        await connection.flush()
        assert heard[-1:] == [b"%d" % number]
    await connection.close()


async def test_a_flush_that_is_given_up_does_not_cost_the_connection(nats_server: EmbeddedServer) -> None:
    trouble: list[Exception] = []

    async def note(error: Exception) -> None:
        trouble.append(error)

    connection = await connect(nats_server.url, error_cb=note)
    given_up = asyncio.ensure_future(connection.flush())
    while not connection._pongs:
        await asyncio.sleep(0)
    given_up.cancel()
    await connection.flush()
    assert given_up.cancelled()
    assert (trouble, connection.stats["reconnects"], connection.is_connected) == ([], 0, True)
    await connection.close()


@pytest.mark.parametrize(("events", "pages"), [(1, 0), (4, 0), (5, 1)])
async def test_a_few_events_are_read_without_a_page_for_which_the_server_counts_through_the_stream(
    jetstream: JetStreamBus, events: int, pages: int
) -> None:
    last = await jetstream.events.append("s", [b"%d" % number for number in range(9)], 0)
    asked: list[Incoming] = []
    await jetstream.connection.listen(f"{API}.DIRECT.GET.>", asked.append)
    assert len(await jetstream.events.read("s", last - events, last, about=events)) == events
    await jetstream.connection.flush()
    assert len(asked) == pages


# --- bursts ----------------------------------------------------------------------------------------------------


async def _events(bus: JetStreamBus, size: int, count: int) -> list[bytes]:
    """Put so many events of that many bytes on the stream."""
    events = [b"%d" % number + b"." * (size - len(str(number))) for number in range(count)]
    await bus.events.append("s", events, 0)
    return events


async def _feed(bus: JetStreamBus) -> JetStreamEventFeed:
    return JetStreamEventFeed(await Link.open(bus.connection, 5), bus.settings)


def _bursts_of(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_reader, "_BURST", size)
    monkeypatch.setattr(log_reader, "_BESIDE_PAYLOAD", -1_000_000_000)


async def test_bursts_are_read_to_their_end_wherever_the_bytes_that_are_asked_for_end(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = await _events(jetstream, 20, 12)
    feed = await _feed(jetstream)
    for size in range(300, 480):  # some are just so many messages
        _bursts_of(size, monkeypatch)
        reader = await feed.open(0)
        found = [await reader.fetch(1, 10)]
        consumer = reader._consumer
        while len(found) < len(events):
            found.append(await reader.fetch(1, 10))
        assert [one.data for (one,) in found] == events
        assert reader._consumer == consumer, f"with {size} bytes it waited in vain and began again"
        await reader.close()


async def test_a_reader_holds_no_more_bytes_than_it_asks_for_ahead(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    burst, size = 50_000, 1_000
    events = await _events(jetstream, size, 300)
    _bursts_of(burst, monkeypatch)
    reader = await (await _feed(jetstream)).open(0)
    for event in events:
        (found,) = await reader.fetch(1, 10)
        assert found.data == event
        await jetstream.connection.flush()  # what comes has time to come
        assert reader._held <= 2 * burst + size
    await reader.close()


async def test_a_message_larger_than_a_burst_is_read_by_itself(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = await _events(jetstream, 2_000, 5)
    _bursts_of(1_000, monkeypatch)
    reader = await (await _feed(jetstream)).open(0)
    assert [event.data for event in await take(reader, 5)] == events  # type: ignore[attr-defined]
    await reader.close()
