"""Metrics of a real server, its engines and its projection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.micro import MicroService
from stageflow_es.client import Client, connect
from stageflow_es.engine import Engine
from stageflow_es.metrics import Observer, observer
from stageflow_es.metrics.exposition import exposition
from stageflow_es.projection import Health, Projector, Queries, Reader, Store, endpoints
from tests.strict_metrics import Numbers, numbers

from .conftest import settings
from .servers import Configured

SOURCES = {"bus", "streams", *observer.OTHERS}
COUNT_UP = {
    "entry": "count",
    "nodes": [
        {"id": "count", "type": "stage", "stage": "IncrementStage", "outputs": {"value": "n"}, "next": "end"},
        {"id": "end", "type": "terminal", "artifacts": ["n"]},
    ],
}


@pytest.fixture(autouse=True)
def _not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observer, "SHARED_FOR", 0.0)


def _observer(url: str, prefix: str) -> Observer:
    async def open_client() -> Client:
        return await connect(url, prefix=prefix)

    return Observer(open_client)


@pytest.fixture
async def seen(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> AsyncIterator[Observer]:
    one = _observer(nats_server.url, jetstream.names.prefix)
    yield one
    await one.close()


async def _read(one: Observer) -> Numbers:
    return numbers(exposition(await one.read(), openly=True))


async def _until(one: Observer, holds: Callable[[Numbers], bool]) -> Numbers:
    async with asyncio.timeout(20):
        while not holds(found := await _read(one)):
            await asyncio.sleep(0.02)
    return found


def _down(found: Numbers) -> set[str]:
    return {key[1] for key, value in found.items() if key[0] == "stageflow_up" and not value}


def _engines(found: Numbers) -> set[str]:
    return {key[1] for key in found if key[0].startswith("stageflow_engine_")}


async def test_an_engine_that_is_killed_goes_from_the_page_and_its_partitions_to_another(
    jetstream: JetStreamBus, seen: Observer
) -> None:
    first, second = [Engine(jetstream, name=name, stages={}) for name in ("first", "second")]
    await first.start()
    await second.start()
    both = await _until(seen, lambda found: found.get(("stageflow_engine_partitions", "second")) == 1)
    assert both["stageflow_engines",] == 2
    await first.kill()
    alone = await _until(seen, lambda found: found.get(("stageflow_engine_partitions", "second")) == 2)
    assert (_engines(alone), alone["stageflow_engines",]) == ({"second"}, 1)
    await second.stop()
    nobody = await _read(seen)
    assert (_engines(nobody), nobody["stageflow_engines",], nobody["stageflow_partition_held", "0"]) == (set(), 0, 0)
    assert _down(nobody) == {"projection"}


async def test_what_an_engine_made_durable_is_counted_however_often_it_is_looked_at(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, seen: Observer
) -> None:
    engine = Engine(jetstream, name="e")
    await engine.start()
    async with connect(nats_server.url, prefix=jetstream.names.prefix) as client:
        session = await client.start(COUNT_UP)
        await session.result()
        events = len(await session.history())
        made = ("stageflow_engine_events_total", "e")
        found = await _until(seen, lambda found: found.get(made) == events)
        for _ in range(3):
            assert (await _read(seen))[made] == events
    assert found["stageflow_stream_stored_total", "events"] == events
    assert found["stageflow_engine_commit_seconds_count", "e"] <= events
    await engine.stop()


async def test_commands_that_nobody_takes_are_a_backlog_that_gets_older(
    jetstream: JetStreamBus, seen: Observer
) -> None:
    for number in range(5):
        await jetstream.publish("control", f"s{number}", b"{}")
    partition = str(jetstream.partition("s0"))
    age = ("stageflow_partition_oldest_command_seconds", partition)
    waiting = await _read(seen)
    assert waiting["stageflow_stream_messages", "commands"] == 5
    older = await _until(seen, lambda found: found[age] > waiting[age])
    assert older["stageflow_partition_held", partition] == 0
    engine = Engine(jetstream, name="e", stages={})
    await engine.start()
    done = await _until(seen, lambda found: not found[age] and not found["stageflow_stream_messages", "commands"])
    assert done["stageflow_partition_unread_commands", partition] == 0
    assert done["stageflow_stream_stored_total", "rejections"] == 5
    await engine.stop()


async def test_sessions_are_counted_and_a_projection_that_stands_still_lags(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, seen: Observer, tmp_path: Path
) -> None:
    link = await Link.open(jetstream.connection, 5.0)
    feed, path = JetStreamEventFeed(link, jetstream.settings), tmp_path / "projection.db"
    reader, store = Reader(path), Store(path)
    queries = Queries(reader, feed, jetstream.definitions, largest=900_000)
    service = MicroService(
        jetstream.connection, jetstream.names.prefix, endpoints(queries, Health(reader, feed), {}), "1.0.0"
    )
    engine = Engine(jetstream, name="e")
    await engine.start()
    await service.start()
    projector = Projector(feed, jetstream.definitions, store)
    running = asyncio.create_task(projector.run())
    async with connect(nats_server.url, prefix=jetstream.names.prefix) as client:
        await client.register("counting", COUNT_UP)
        for name in ("counting", "counting", COUNT_UP):
            await (await client.start(name)).result()
        everything = await _until(seen, lambda found: found.get(("stageflow_sessions", "completed")) == 3)
        assert everything["stageflow_pipeline_sessions", "counting", "completed"] == 2
        assert everything["stageflow_pipeline_sessions", "", "completed"] == 1
        caught_up = await _until(seen, lambda found: not found["stageflow_projection_lag_events",])
        assert caught_up["stageflow_projection_lag_seconds",] == 0
        assert _down(caught_up) == set()
        await projector.stop()
        await running
        await (await client.start("counting")).result()
    behind = await _until(seen, lambda found: found["stageflow_projection_lag_seconds",] > 0)
    assert behind["stageflow_projection_lag_events",] > 0
    assert behind["stageflow_sessions", "completed"] == 3
    await service.stop()
    gone = await _read(seen)
    assert _down(gone) == {"projection"}
    assert ("stageflow_sessions", "completed") not in gone
    await engine.stop()
    await reader.close()
    await store.close()


async def test_while_the_server_is_away_everything_is_down_and_then_it_is_back(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    await asyncio.to_thread(server.start)
    bus = await JetStreamBus.connect(server.url, settings(prefix="t"))
    one = _observer(server.url, "t")
    assert _down(await _read(one)) == {"projection"}
    await asyncio.to_thread(server.kill)
    away = await _until(one, lambda found: "bus" in _down(found))
    assert _down(away) == SOURCES
    assert {key[0] for key in away} == {"stageflow_up", "stageflow_build_info"}
    await asyncio.to_thread(server.start)
    await _until(one, lambda found: _down(found) == {"projection"})
    await one.close()
    await bus.close()
    await asyncio.to_thread(server.stop)


async def test_a_user_who_may_ask_for_nothing_sees_everything_down_but_the_bus(users: Configured) -> None:
    one = _observer(users.as_user("client"), "t")
    assert _down(await _read(one)) == SOURCES - {"bus"}
    await one.close()


async def test_a_user_who_may_only_look_sees_everything_there_is(users: Configured) -> None:
    one = _observer(users.as_user("metrics"), "t")
    assert _down(await _read(one)) == {"projection"}
    await one.close()


async def test_before_any_engine_has_run_the_streams_are_down(nats_server: EmbeddedServer) -> None:
    one = _observer(nats_server.url, "nobody-was-here")
    assert _down(await _read(one)) >= {"streams", "engines", "partitions", "readers", "projection"}
    await one.close()
