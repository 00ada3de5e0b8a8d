"""Replicated streams on a cluster of three servers, and what `doctor` says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from stageflow_es.bus.jetstream import BusSettings, JetStreamBus
from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.doctor import server, streams
from stageflow_es.engine.ports import WrongSequence

from .examining import about, examined, one, until
from .servers import ALWAYS, Configured, free_port

SETTINGS = BusSettings(prefix="t", replicas=3)


@pytest.fixture(scope="module")
def three_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Configured]]:
    """Three servers on this machine, until the last test kills one."""
    folder = tmp_path_factory.mktemp("cluster")
    ports = [free_port() for _ in range(3)]
    routes = ", ".join(f"'nats-route://127.0.0.1:{port}'" for port in ports)
    servers = []
    for number, port in enumerate(ports):
        text = (
            f"server_name: n{number}\n{ALWAYS}\ncluster {{ name: c, listen: '127.0.0.1:{port}', routes: [{routes}] }}"
        )
        servers.append(Configured(folder / f"n{number}", text))
        servers[-1].start()
    yield servers
    for one_of_them in servers:
        one_of_them.stop()


async def test_a_refused_append_of_several_events_does_not_end_a_replicated_stream(
    three_servers: list[Configured],
) -> None:
    async with asyncio.timeout(60):
        bus = await JetStreamBus.connect(three_servers[0].url, SETTINGS)  # they are still finding each other
        last = await bus.events.append("s", [b"1"], 0)
        for wrong in (0, last + 5):
            with pytest.raises(WrongSequence):
                await bus.events.append("s", [b"x", b"y"], wrong)
        assert await bus.events.append("s", [b"2", b"3"], last) == last + 2
        assert [event.data for event in await bus.events.read("s")] == [b"1", b"2", b"3"]
        await bus.close()


async def test_a_cluster_tells_its_copies_and_which_of_them_is_away(three_servers: list[Configured]) -> None:
    async with asyncio.timeout(60):
        bus = await JetStreamBus.connect(three_servers[0].url, SETTINGS)
        whole_ = await examined(three_servers[0].url, "t", monitor=three_servers[0].monitor)
        three_servers[2].kill()
        await bus.close()
        away = about(await until(three_servers[0].url, "t", lambda found: bool(about(found, "copies of"))), "copies of")
    assert one(whole_, "replicas").says == "every stream is on 3 servers"
    assert one(whole_, "replicas").severity == "ok"
    assert "always on n0" in one(whole_, "sync_interval").says
    assert "n2" in away[0].says
    assert away[0].severity == "warning"


def test_a_copy_that_says_nothing_any_more_is_told_from_one_that_lags() -> None:
    """Words of a cluster whose second server was killed 8 seconds ago, and whose third has just come back."""
    followers = [
        {"name": "n1", "current": False, "lag": 92, "active": 8_000_000_000},
        {"name": "n2", "current": False, "lag": 7, "active": 300_000_000},
    ]
    silent, behind = streams._followers("EVENTS", {"leader": "n0", "replicas": followers})
    assert silent.says == "nothing has been heard of the one on n1 for 8 s"
    assert behind.says == "the one on n2 is 7 operations behind"


def test_a_cluster_without_a_majority_is_not_taken_for_an_account_without_jetstream() -> None:
    away = server._refused(ApiError(503, 10008, "JetStream system temporarily unavailable"))
    assert (away.severity, away.do) == ("error", "")
    assert "a majority of them is away" in away.means
    refused = server._refused(ApiError(503, 10039, "JetStream not enabled for account"))
    assert "enable JetStream" in refused.do
