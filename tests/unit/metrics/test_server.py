"""Metrics over HTTP: whatever comes over the line, the next one is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stageflow_es.errors import OperatorError
from stageflow_es.metrics import Listen, MetricsServer, server
from stageflow_es.metrics.exposition import Family, gauge
from tests.strict_metrics import numbers


class Steady:
    """An observer that always reads the same, or fails."""

    problem: Exception | None = None
    closed = False

    async def read(self) -> list[Family]:
        if self.problem is not None:
            raise self.problem
        return [gauge("answer", "To everything.", 42)]

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def observer() -> Steady:
    return Steady()


@pytest.fixture
async def serving(observer: Steady) -> AsyncIterator[MetricsServer]:
    async with MetricsServer(Listen(port=0), observer) as serving:  # type: ignore[arg-type]
        yield serving
    assert observer.closed


def _port(serving: MetricsServer) -> int:
    return int(serving.url.rpartition(":")[2].partition("/")[0])


async def _said(serving: MetricsServer, request: bytes) -> tuple[str, str, bytes]:
    """The status, the head and the body of the answer; all empty: there was none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", _port(serving))
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    return head.decode()[9:12], head.decode(), body


async def _works(serving: MetricsServer) -> None:
    status, head, body = await _said(serving, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status == "200"
    assert "Content-Type: text/plain; version=0.0.4" in head
    assert numbers(body, openly=False) == {("stageflow_answer",): 42}


async def test_a_scraper_gets_the_format_it_asks_for(serving: MetricsServer) -> None:
    await _works(serving)
    accept = b"accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3"
    status, head, body = await _said(serving, b"GET /metrics?x=1 HTTP/1.1\r\n" + accept + b"\r\n\r\n")
    assert (status, numbers(body)) == ("200", {("stageflow_answer",): 42})
    assert "Content-Type: application/openmetrics-text; version=1.0.0" in head


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "200"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", "404"),
        (b"GET http://elsewhere/metrics HTTP/1.1\r\n\r\n", "404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"HEAD /metrics HTTP/1.0\r\n\r\n", "405"),
        (b"GET /metrics\r\n\r\n", "400"),
        (b"\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "400"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 100_000, "431"),
    ],
)
async def test_a_request_for_anything_else_is_answered_with_what_is_wrong(
    serving: MetricsServer, request_: bytes, status: str
) -> None:
    try:
        assert (await _said(serving, request_))[0] == status
    except ConnectionResetError:  # what it had not read when it closed
        assert status == "431"
    await _works(serving)


async def test_who_is_slow_and_who_goes_away_holds_nobody_up(
    serving: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ASKED_WITHIN", 0.05)
    _, writer = await asyncio.open_connection("127.0.0.1", _port(serving))
    writer.write(b"GET /metr")
    writer.close()
    assert (await _said(serving, b"GET /metr"))[0] == "408"
    await _works(serving)


async def test_who_takes_no_answer_is_let_go(
    serving: MetricsServer, observer: Steady, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TAKEN_WITHIN", 0.05)

    async def much() -> list[Family]:
        return [gauge("x", "y" * 30_000_000, 1)]

    monkeypatch.setattr(observer, "read", much)
    _, writer = await asyncio.open_connection("127.0.0.1", _port(serving))
    writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(10):
        while not serving._open:
            await asyncio.sleep(0.001)
        while serving._open:
            await asyncio.sleep(0.001)
    writer.close()


async def test_more_than_it_takes_at_a_time_are_told_so(
    serving: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "MOST", 2)
    idle = [await asyncio.open_connection("127.0.0.1", _port(serving)) for _ in range(2)]
    async with asyncio.timeout(10):
        while len(serving._open) < 2:
            await asyncio.sleep(0.001)
    assert (await _said(serving, b""))[0] == "503"
    for _, writer in idle:
        writer.close()
    async with asyncio.timeout(10):
        while serving._open:
            await asyncio.sleep(0.001)
    await _works(serving)


async def test_a_page_that_cannot_be_made_shows_nothing_of_why(serving: MetricsServer, observer: Steady) -> None:
    observer.problem = RuntimeError("nats://user:secret@host")
    status, _, body = await _said(serving, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert (status, b"secret" in body) == ("500", False)
    observer.problem = None
    await _works(serving)


async def test_an_address_that_is_taken_is_said(serving: MetricsServer) -> None:
    with pytest.raises(OperatorError, match="name another address"):
        async with MetricsServer(Listen(port=_port(serving)), Steady()):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("9000", Listen("127.0.0.1", 9000)),
        ("0.0.0.0:9464", Listen("0.0.0.0", 9464)),
        ("[::1]:0", Listen("::1", 0)),
        ("metrics.local:80", Listen("metrics.local", 80)),
    ],
)
def test_it_listens_on_this_machine_unless_told_otherwise(text: str, listen: Listen) -> None:
    assert Listen.parse(text) == listen


@pytest.mark.parametrize("text", ["", ":9464", "host:", "host:70000", "host:port", "²", "-1"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match="HOST:PORT"):
        Listen.parse(text)
