"""A connection to a server that is there, and cannot answer what takes a leader."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, link
from stageflow_es.bus.jetstream.connection import connect
from stageflow_es.bus.jetstream.link import Absent, ApiError, Link

from .servers import Configured


async def test_a_server_that_answers_nothing_for_long_is_left_for_another(
    nats_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "STRANDED", 0.05)
    alone = Configured(tmp_path / "alone", "")
    alone.start()
    try:
        client = await connect([alone.url, nats_server.url], dont_randomize=True)
        asking = await Link.open(client, 5)
        async with asyncio.timeout(20):
            while await _is_silent(asking):
                await asyncio.sleep(0.01)
        assert client.connected_url is not None
        assert client.connected_url.port == nats_server.port
        await client.close()
    finally:
        alone.stop()


async def test_a_server_is_not_left_for_want_of_another_or_for_an_answer_that_is_no(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "STRANDED", 0.0)
    client = await connect(nats_server.url)
    asking = await Link.open(client, 5)
    for _ in range(3):
        with pytest.raises(ApiError):
            await asking.api("STREAM.INFO.nothing")
    for _ in range(3):
        with pytest.raises(Absent):
            await asking.store("nobody.takes.this", b"")
    assert client.is_connected
    assert asking.reconnects == 0
    await client.close()


async def _is_silent(asking: Link) -> bool:
    try:
        await asking.api("INFO")
    except link.Unanswered:
        return True
    return False
