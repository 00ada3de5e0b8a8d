"""The query service on a real server, as a stranger with a NATS client sees it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.micro import MicroService, largest_answer
from stageflow_es.engine.ports import Unanswered
from stageflow_es.projection import Answer, Health, Projector, Queries, Reader, Store, endpoints
from stageflow_es.session import snapshot
from stageflow_es.session.fold import hash_of
from tests.unit.projection.test_projector import many
from tests.unit.projection.worlds import STAGES


class Service:
    """A projection of some sessions, served under the bus's prefix."""

    def __init__(self, bus: JetStreamBus, link: Link, path: Path) -> None:
        self.bus = bus
        self.feed = JetStreamEventFeed(link, bus.settings)
        self.store = Store(path)
        self.reader = Reader(path)
        self.projector = Projector(self.feed, bus.definitions, self.store)
        queries = Queries(self.reader, self.feed, bus.definitions, largest=largest_answer(bus.connection) - 1024)
        handlers = dict(endpoints(queries, Health(self.reader, self.feed), {}))
        handlers["large"] = self._large
        handlers["slow"] = self._slow
        self.slow = asyncio.Event()
        self.micro = MicroService(bus.connection, bus.settings.prefix, handlers, "1.2.3")

    async def _large(self, body: bytes) -> Answer:
        return Answer(b"x" * (largest_answer(self.bus.connection) + 1))

    async def _slow(self, body: bytes) -> Answer:
        await self.slow.wait()
        return Answer(body)


@pytest.fixture
async def service(jetstream: JetStreamBus, tmp_path: Path) -> AsyncIterator[Service]:
    await jetstream.definitions.put(STAGES.canonical)
    for scenario in many():
        await jetstream.events.append(scenario.state.session, scenario.history, 0)
    link = await Link.open(jetstream.connection, 5)
    service = Service(jetstream, link, tmp_path / "p.db")
    running = asyncio.create_task(service.projector.run())
    await service.micro.start()
    async with asyncio.timeout(20):
        await service.projector.caught_up(await service.feed.last())
    yield service
    service.slow.set()
    await service.micro.stop()
    await service.projector.stop()
    await running
    await service.store.close()
    await service.reader.close()
    await link.close()


@pytest.fixture
async def stranger(nats_server: EmbeddedServer) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


class Asking:
    """What the stranger asks, under the service's prefix."""

    def __init__(self, client: Client, service: Service) -> None:
        self._client = client
        self._prefix = service.bus.settings.prefix

    async def raw(self, name: str, body: bytes, **options: Any) -> Msg:
        return await self._client.request(f"{self._prefix}.query.{name}", body, timeout=5, **options)

    async def __call__(self, name: str, **fields: Any) -> Any:
        answer = await self.raw(name, json.dumps(fields).encode())
        assert answer.headers is None or "Nats-Service-Error" not in answer.headers, answer.headers
        return json.loads(answer.data)


@pytest.fixture
def ask(stranger: Client, service: Service) -> Asking:
    return Asking(stranger, service)


async def test_every_question_of_the_contract_is_answered(ask: Asking) -> None:
    assert (await ask("session.get", session="finished"))["artifacts"] == {"answer": 7}
    assert len((await ask("session.list", status="failed"))["sessions"]) == 1
    history = await ask("session.history", session="finished", limit=2)
    assert ([event["n"] for event in history["events"]], history["next"]) == ([1, 2], 3)
    assert (await ask("session.state", session="finished", at=1))["context"] == {"n": 1}
    assert (await ask("session.snapshot", session="finished"))["n"] > 1
    assert (await ask("pipeline.get", pipeline=STAGES.digest))["definition"] == STAGES.raw
    assert await ask("pipeline.list") == {"pipelines": []}
    assert await ask("stages") == {"stages": []}
    health = await ask("health")
    assert (health["status"], health["seq"]) == ("ok", health["last"])


async def test_engines_get_their_snapshots_from_it(service: Service) -> None:
    snapshots = service.bus.snapshots
    image = await snapshots.get("finished")
    assert image is not None
    head = await service.bus.events.head("finished")
    assert head is not None
    state = snapshot.load(image, STAGES)
    assert (state.head, state.seq) == (hash_of(head.data), head.seq)
    assert await snapshots.get("nobody") is None


async def test_an_error_comes_in_micros_own_headers_with_the_problems_as_body(ask: Asking) -> None:
    answer = await ask.raw("session.get", b'{"session": "nobody"}')
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "404"
    assert answer.headers["Nats-Service-Error"] == "there is no session nobody"
    assert json.loads(answer.data) == [{"path": "/session", "message": "there is no session nobody"}]


async def test_it_is_a_micro_service_with_its_endpoints_and_their_counts(stranger: Client, ask: Asking) -> None:
    await ask("health")
    await ask.raw("session.get", b"nonsense")
    info = json.loads((await stranger.request("$SRV.INFO.stageflow", timeout=5)).data)
    assert (info["name"], info["version"]) == ("stageflow", "1.2.3")
    assert {"session-get", "session-list", "pipeline-get", "health"} <= {found["name"] for found in info["endpoints"]}
    stats = json.loads((await stranger.request("$SRV.STATS.stageflow", timeout=5)).data)
    counted = {found["name"]: (found["num_requests"], found["num_errors"]) for found in stats["endpoints"]}
    assert (counted["health"], counted["session-get"]) == ((1, 0), (1, 1))


async def test_an_answer_too_large_says_to_ask_for_less(ask: Asking) -> None:
    answer = await ask.raw("large", b"")
    assert answer.headers is not None
    assert answer.headers["Nats-Service-Error-Code"] == "413"
    assert "lower `limit`" in json.loads(answer.data)[0]["message"]


async def test_a_slow_question_does_not_hold_up_the_next(service: Service, ask: Asking) -> None:
    first = asyncio.create_task(ask.raw("slow", b"1"))
    second = asyncio.create_task(ask.raw("slow", b"2"))
    assert (await ask("health"))["status"] == "ok"
    service.slow.set()
    assert [(await first).data, (await second).data] == [b"1", b"2"]


async def test_stopping_answers_what_was_asked_before(service: Service, ask: Asking) -> None:
    asked = asyncio.create_task(ask.raw("slow", b"1"))
    while not any(endpoint._under_way for endpoint in service.micro._service._served):  # type: ignore[union-attr]
        await asyncio.sleep(0)
    stopping = asyncio.create_task(service.micro.stop())
    await asyncio.sleep(0)
    service.slow.set()
    await stopping
    assert (await asked).data == b"1"


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"[" * 60_000, b"x" * 900_000, b'{"session": "../../etc"}'])
async def test_nothing_a_stranger_sends_ends_the_service(ask: Asking, body: bytes) -> None:
    headers = {"Nats-Msg-Id": "é", "X": "y" * 1000}
    for name in ("session.get", "session.list", "session.history", "session.state", "pipeline.get", "stages"):
        answer = await ask.raw(name, body, headers=headers)
        assert answer.headers is None or answer.headers["Nats-Service-Error-Code"] in {"400", "413"}
    assert (await ask("health"))["status"] == "ok"


async def test_answers_are_never_sent_where_the_asker_may_not_publish(
    stranger: Client, service: Service, ask: Asking
) -> None:
    """The reply subject is the asker's choice; with it the service must not append events, or purge a stream."""
    prefix, events = service.bus.settings.prefix, service.bus.names.events
    before = await service.feed.last()
    asked = f"{prefix}.query.health"
    for reply in (
        f"{prefix}.append.finished",
        f"{prefix}.command.control.finished",
        f"$JS.API.STREAM.PURGE.{events}",
        f"$JS.API.STREAM.DELETE.{events}",
        f"$KV.{service.bus.names.pipelines}.definition.x",
    ):
        await stranger.publish(asked, b"", reply=reply)
        await stranger.publish("$SRV.INFO.stageflow", b"", reply=reply)
        await stranger.publish("$SRV.PING", b"", reply=reply)
        await stranger.publish("$SRV.STATS.stageflow", b"", reply=reply)
    await stranger.publish(asked, b"")
    assert (await ask("health"))["last"] == before
    assert (await ask("session.history", session="finished"))["events"]


async def test_a_server_that_does_not_answer_when_the_service_begins_is_a_bus_error(
    jetstream: JetStreamBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unanswered(timeout: int = 10) -> None:
        raise nats.errors.FlushTimeoutError

    monkeypatch.setattr(jetstream.connection, "flush", unanswered)
    with pytest.raises(Unanswered, match="did not answer"):
        await MicroService(jetstream.connection, jetstream.settings.prefix, {}, "1.2.3").start()
