"""What was acknowledged is there after a crash; what is not answered says so in bounded time."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus, connection
from stageflow_es.engine.ports import Checkpoint, Member, Unanswered
from tests.contract.conftest import freeze, settings, take
from tests.faults.proxy import Proxy


async def test_what_was_acknowledged_survives_a_killed_server_and_the_bus_finds_it_again(
    own_nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url, settings())
    reader = await bus.commands.open(bus.partition("s"), 0)
    await bus.publish("start", "s", b"1")
    await take(reader, 1)
    lasts = await asyncio.gather(*(bus.events.append(f"s{number}", [b"a", b"b"], 0) for number in range(50)))
    revision = await bus.checkpoints.write(0, 0, Checkpoint(commands=1))
    digest = await bus.definitions.put(b"{}")
    await bus.timers.set("s", "t", datetime.now(UTC) + timedelta(seconds=0.3), 4)
    await bus.publish("input", "s", b"2")
    await asyncio.to_thread(own_nats_server.kill)
    await asyncio.to_thread(own_nats_server.start)
    assert [message.data for message in await take(reader, 1)] == [b"2"]
    for number, last in enumerate(lasts):
        head = await bus.events.head(f"s{number}")
        assert head is not None
        assert (head.seq, head.data) == (last, b"b")
    assert await bus.checkpoints.read(0) == (revision, Checkpoint(commands=1))
    assert await bus.definitions.get(digest) == b"{}"
    fires = await bus.timers.open(bus.partition("s"), 0)
    assert [(fire.timer, fire.n) for fire in await take(fires, 1)] == [("t", 4)]
    assert await bus.events.append("s0", [b"c"], lasts[0]) > lasts[-1]
    for one in (reader, fires):
        await one.close()
    await bus.close()


async def test_writes_that_get_no_answer_are_unanswered_and_the_log_says_what_became_of_them(
    own_nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url, settings(request_timeout=0.4))
    before = await bus.events.append("s0", [b"before"], 0)
    assert own_nats_server.pid is not None
    freeze(own_nats_server.pid)
    async with asyncio.timeout(5):
        outcomes = await asyncio.gather(
            *(bus.events.append(f"s{number}", [b"x"], before if number == 0 else 0) for number in range(40)),
            bus.publish("input", "s", b"x"),
            bus.checkpoints.write(0, 0, Checkpoint()),
            bus.timers.set("s", "t", datetime.now(UTC), 1),
            bus.leases.renew(0, Member("e", 1), 3),
            bus.commands.reject("s", 1, b"{}"),
            bus.events.head("s0"),
            bus.events.read("s0"),
            return_exceptions=True,
        )
    os.kill(own_nats_server.pid, signal.SIGCONT)
    assert [type(outcome) for outcome in outcomes] == [Unanswered] * len(outcomes)
    await bus.events.append("behind-all-of-them", [b"x"], 0)
    events = [event.data for event in await bus.events.read("s0")]
    stored = [await bus.events.head(f"s{number}") is not None for number in range(1, 40)]
    assert events in ([b"before"], [b"before", b"x"])
    assert stored == [len(events) == 2] * 39, "a batch is all or none"
    await bus.close()


async def test_an_append_while_the_server_is_down_is_unanswered_and_later_ones_succeed(
    own_nats_server: EmbeddedServer,
) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url, settings(request_timeout=0.4))
    await asyncio.to_thread(own_nats_server.kill)
    for events in ([b"x"], [b"x", b"y"]):
        async with asyncio.timeout(5):
            with pytest.raises(Unanswered):
                await bus.events.append("down", events, 0)
    await asyncio.to_thread(own_nats_server.start)
    async with asyncio.timeout(10):
        while True:
            try:
                await bus.events.append("up", [b"x"], 0)
                break
            except Unanswered:
                await asyncio.sleep(0.05)
    assert await bus.events.head("down") is None
    await bus.close()


async def test_closing_the_bus_answers_whoever_still_waits(own_nats_server: EmbeddedServer) -> None:
    bus = await JetStreamBus.connect(own_nats_server.url, settings())
    assert own_nats_server.pid is not None
    freeze(own_nats_server.pid)
    waiting = [asyncio.ensure_future(bus.events.append(session, [b"x"], 0)) for session in ("a", "b")]
    await asyncio.sleep(0)
    closing = asyncio.create_task(bus.close())
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    os.kill(own_nats_server.pid, signal.SIGCONT)
    await closing
    assert [type(outcome) for outcome in outcomes] == [Unanswered, Unanswered]


async def test_only_committed_events_are_republished_each_with_its_session_s_chain(jetstream: JetStreamBus) -> None:
    follower = await jetstream.connection.subscribe(jetstream.names.event("*"))
    first = await jetstream.events.append("s", [b"1"], 0)
    refused = [jetstream.events.append("s", [b"no", b"no"], 0), jetstream.events.append("t", [b"no"], 5)]
    await asyncio.gather(*refused, return_exceptions=True)
    last = await jetstream.events.append("s", [b"2", b"3"], first)
    seen = [await follower.next_msg(5) for _ in range(3)]
    assert [message.data for message in seen] == [b"1", b"2", b"3"]
    chain = [(message.headers["Nats-Last-Sequence"], message.headers["Nats-Sequence"]) for message in seen]
    assert chain == [("0", f"{first}"), (f"{first}", f"{last - 1}"), (f"{last - 1}", f"{last}")]
    assert follower.pending_msgs == 0


@pytest.fixture
async def half_open(nats_server: EmbeddedServer) -> AsyncIterator[tuple[Proxy, JetStreamBus]]:
    """A bus that has more to send than the kernel takes, to a server whose machine has gone."""
    proxy = await Proxy(nats_server.port).start()
    bus = await JetStreamBus.connect(proxy.url, settings(batch_bytes=16 * 1024 * 1024), ping_interval=0.1)
    proxy.stalled = True
    yield proxy, bus
    await proxy.close()
    await bus.close()


async def test_a_server_that_takes_nothing_any_more_is_left_although_there_is_more_to_send(
    half_open: tuple[Proxy, JetStreamBus],
) -> None:
    proxy, bus = half_open
    waiting = [bus.events.append(f"s{number}", [b"x" * 900_000], 0) for number in range(12)]
    async with asyncio.timeout(4):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unanswered}
    proxy.stalled = False
    async with asyncio.timeout(10):
        while not bus.connection.stats["reconnects"]:
            await asyncio.sleep(0.01)


async def test_closing_the_bus_does_not_wait_for_a_server_that_takes_nothing_any_more(
    half_open: tuple[Proxy, JetStreamBus], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, bus = half_open
    monkeypatch.setattr(connection, "_FAREWELL", 0.1)
    bus.connection._ping_interval_task.cancel()  # type: ignore[union-attr]
    waiting = [bus.events.append(f"s{number}", [b"x" * 900_000], 0) for number in range(12)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await bus.close()
    assert bus.connection.is_closed
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {Unanswered}
