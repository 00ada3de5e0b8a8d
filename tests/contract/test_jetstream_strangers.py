"""Whoever may publish commands may use any NATS client, and write what they like: none of it is lost or does harm."""

from __future__ import annotations

import pytest

from stageflow_es.bus.jetstream import Connection, EmbeddedServer, JetStreamBus, connect
from stageflow_es.engine.ports import Refused
from tests.contract.conftest import settings, take

HEADERS = [
    b"X",
    b"NATS/1.0",
    b"NATS/1.0 \xff\xff 9\r\n\r\n",
    b"NATS/1.0 503 gone\r\n\r\n",
    b"NATS/1.0\r\nStatus: 409\r\nDescription: Consumer Deleted\r\n\r\n",
    b"NATS/1.0\r\nStatus: 100\r\nNats-Last-Consumer: x\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
]
TOKENS = [b"*", b">", b"a*b", "é!$=\\".encode(), b"\xff\xfe", b"a\x0bb", b"a\x0cb\x00", b"x" * 3900]


async def send(connection: Connection, frames: bytes) -> None:
    """Bytes as they are, as a client of another make might write them."""
    await connection._send_command(frames)
    await connection.flush()


async def test_a_plain_publish_of_any_client_is_a_command(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> None:
    client = await connect(nats_server.url)
    await client.publish(f"{jetstream.settings.prefix}.command.control.s", b"{}", headers={"Nats-Msg-Id": "s-1"})
    await client.close()
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    (message,) = await take(reader, 1)
    assert (message.session, message.kind, message.id) == ("s", "control", "s-1")
    await reader.close()


async def test_whatever_session_and_headers_strangers_write_each_command_is_read_once_and_in_order(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    client = await connect(nats_server.url)
    prefix = jetstream.settings.prefix.encode()
    for header in HEADERS:
        await send(client, b"HPUB %b.command.input.s %d %d\r\n%b\r\n" % (prefix, len(header), len(header), header))
    for token in TOKENS:
        await send(client, b"PUB %b.command.start.%b 1\r\nx\r\n" % (prefix, token))
    for session in ("s", "t", "u", "v"):
        await jetstream.publish("input", session, b"last")
    assert client.is_connected
    await client.close()
    found = []
    for partition in range(2):
        reader = await jetstream.commands.open(partition, 0)
        messages = list(await reader.fetch(1000, 5))
        while more := await reader.fetch(1000, 0.3):
            messages += more
        assert [message.seq for message in messages] == sorted(message.seq for message in messages)
        assert messages[-1].data == b"last"
        found += messages
        await reader.close()
        await jetstream.commands.purge(partition, messages[-1].seq)
    assert sorted(message.seq for message in found) == list(range(1, len(HEADERS) + len(TOKENS) + 5))
    assert sum(message.kind == "input" and message.session == "s" for message in found) == len(HEADERS) + 1
    assert {"*", ">", "a*b", "é!$=\\", "x" * 3900} <= {message.session for message in found}
    left = await jetstream.connection.jsm().stream_info(jetstream.names.commands)
    assert left.state.messages == 0


async def test_a_command_of_an_impossible_session_can_be_rejected(jetstream: JetStreamBus) -> None:
    for seq, token in enumerate(TOKENS, 1):
        await jetstream.commands.reject(token.decode("utf-8", "backslashreplace"), seq, b"{}")
    for seq in (100, 100, 101):
        await jetstream.commands.reject("s", seq, b"{}")
    info = await jetstream.connection.jsm().stream_info(jetstream.names.rejections)
    assert info.state.messages == len(TOKENS) + 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Nats-Rollup": "all"},
        {"Nats-TTL": "1s"},
        {"Nats-Schedule": "@at 2020-01-01T00:00:00Z", "Nats-Schedule-Target": "elsewhere"},
    ],
)
async def test_headers_that_would_write_elsewhere_or_wipe_are_refused(
    jetstream: JetStreamBus, headers: dict[str, str]
) -> None:
    await jetstream.publish("input", "s", b"kept")
    subject = f"{jetstream.settings.prefix}.command.input.s"
    answer = await jetstream.connection.request(subject, b"x", headers=headers, timeout=5)
    assert b'"error"' in answer.data
    info = await jetstream.connection.jsm().stream_info(jetstream.names.commands)
    assert info.state.messages == 1


@pytest.mark.parametrize("session", ["", "a b", "a.b", "*", "x\r\nPUB y 0\r\n\r\n", "x" * 129])
async def test_our_own_client_side_refuses_a_session_id_that_is_none(jetstream: JetStreamBus, session: str) -> None:
    with pytest.raises(Refused, match="session id"):
        await jetstream.publish("start", session, b"{}")
    with pytest.raises(Refused, match="session id"):
        await jetstream.events.append(session, [b"{}"], 0)


async def test_a_command_sent_again_at_once_under_its_id_is_the_same_command(jetstream: JetStreamBus) -> None:
    first = await jetstream.publish("input", "s", b"x", id="s-1")
    assert await jetstream.publish("input", "s", b"x", id="s-1") == first


async def test_two_prefixes_on_one_server_know_nothing_of_each_other(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    other = await JetStreamBus.connect(nats_server.url, settings())
    await other.events.append("s", [b"x"], 0)
    await other.publish("input", "s", b"x")
    await other.leases.join("e")
    assert await jetstream.events.head("s") is None
    assert await jetstream.leases.members() == {}
    reader = await jetstream.commands.open(jetstream.partition("s"), 0)
    assert await reader.fetch(1, 0.1) == []
    await reader.close()
    await other.close()
