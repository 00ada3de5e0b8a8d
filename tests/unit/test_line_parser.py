"""The protocol as it comes from a server: whole, in pieces, and with what strangers put in it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats import errors as nats_errors

from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.line_parser import LineParser

HEAD = b"NATS/1.0\r\nA: b\r\n\r\n"
STREAM = (
    b'INFO {"max_payload": 8}\r\n'
    b"MSG a.b 1 2\r\nhi\r\n"
    b"MSG a.b 1 re.ply 0\r\n\r\n"
    b"PING\r\n"
    b"HMSG a.\xff 1 %d %d\r\n%bx\r\ny\r\n"
    % (len(HEAD), len(HEAD) + 4, HEAD)
    + b"HMSG a.b 1 re.ply %d %d\r\n%b\r\n" % (len(HEAD), len(HEAD), HEAD)
    + b"MSG other 2 re.ply 3\r\nabc\r\n"
    b"MSG a\x0bb 1 1\r\n \r\n"
    b"+OK\r\nPONG\r\n-ERR 'Slow Consumer'\r\n"
)
SEEN = [
    ("info", {"max_payload": 8}),
    ("a.b", "", {}, b"hi"),
    ("a.b", "re.ply", {}, b""),
    ("ping",),
    ("a.\\xff", "", {"A": "b"}, b"x\r\ny"),
    ("a.b", "re.ply", {"A": "b"}, b""),
    ("nobody listens", 2, b"other", b"re.ply", b"abc", b""),
    ("a\x0bb", "", {}, b" "),
    ("pong",),
    ("error", "'slow consumer'"),
]


class Client:
    """Notes what it is told, as a connection is."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self.listeners = {b"1": self._take}

    def _take(self, *parts: bytes) -> None:
        message = Incoming(*parts)
        self.seen.append((message.subject, message.reply, message.headers, message.data))

    async def _process_msg(self, *message: Any) -> None:
        self.seen.append(("nobody listens", *message))

    async def _process_info(self, info: dict[str, Any]) -> None:
        self.seen.append(("info", info))

    async def _process_ping(self) -> None:
        self.seen.append(("ping",))

    async def _process_pong(self) -> None:
        self.seen.append(("pong",))

    async def _process_err(self, error: str) -> None:
        self.seen.append(("error", error))


def read(*pieces: bytes) -> list[tuple[Any, ...]]:
    client = Client()
    parser = LineParser(client)

    async def feed() -> None:
        for piece in pieces:
            await parser.parse(piece)

    asyncio.run(feed())
    return client.seen


def test_a_stream_is_read_the_same_wherever_it_is_cut() -> None:
    assert read(STREAM) == SEEN
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == SEEN
    for cut in range(len(STREAM)):
        assert read(STREAM[:cut], STREAM[cut:]) == SEEN


def test_a_large_message_is_looked_at_again_only_when_all_of_it_is_there() -> None:
    client = Client()
    parser = LineParser(client)

    async def feed() -> None:
        await parser.parse(b"MSG a 1 100000\r\n" + b"x" * 10)
        for _ in range(9):
            await parser.parse(b"x" * 10_000)
            assert parser.needed == 100_000 + len(b"MSG a 1 100000\r\n\r\n")
        await parser.parse(b"x" * 9_990 + b"\r\nPI")
        await parser.parse(b"NG\r\n")

    asyncio.run(feed())
    assert [message[:1] for message in client.seen] == [("a",), ("ping",)]
    assert client.seen[0][3] == b"x" * 100_000


def test_what_is_left_of_a_lost_connection_is_forgotten() -> None:
    client = Client()
    parser = LineParser(client)

    async def feed() -> None:
        await parser.parse(b"MSG a 1 100\r\nhalf a mess")
        parser.reset()
        await parser.parse(b"MSG a 1 2\r\nhi\r\n")

    asyncio.run(feed())
    assert [message[3] for message in client.seen] == [b"hi"]


def test_a_listener_that_fails_costs_no_other_message() -> None:
    client = Client()

    def fail(*parts: bytes) -> None:
        raise RuntimeError

    client.listeners[b"3"] = fail
    parser = LineParser(client)
    asyncio.run(parser.parse(b"MSG a 3 2\r\nhi\r\nMSG a 1 2\r\nho\r\n"))
    assert [message[3] for message in client.seen] == [b"ho"]


def test_what_no_server_writes_is_an_error_of_the_protocol() -> None:
    with pytest.raises(nats_errors.ProtocolError):
        read(b"HELLO\r\n")
