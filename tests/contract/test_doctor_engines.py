"""`doctor` on engines, and on what they have not done yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from stageflow_es import __version__
from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.doctor import Finding, backlog
from stageflow_es.engine import Engine
from stageflow_es.engine.clock import Clock
from stageflow_es.engine.ports import Member
from stageflow_es.engine.vitals import Vitals
from stageflow_es.session import HISTORY_VERSION
from stageflow_es.stages import BaseStage

from .cluster import Gate, gated
from .conftest import settings
from .examining import about, examined, one, until


class Wrong:
    """A clock that is so far ahead."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


@asynccontextmanager
async def engine_on(
    bus: JetStreamBus,
    name: str = "e",
    stages: Mapping[str, type[BaseStage]] | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[Engine]:
    engine = Engine(bus, name=name, stages=stages or {}, clock=clock)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


async def test_no_engine_is_an_error_and_commands_that_wait_are_late(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LATE", 0.0)
    await jetstream.publish("control", "s", b"{}")
    await jetstream.timers.set("s", "t1", datetime(2020, 1, 1, tzinfo=UTC), 1)
    findings = await until(nats_server.url, jetstream.names.prefix, lambda found: len(about(found, "backlog")) == 2)
    assert one(findings, "engines").says == "none is alive"
    assert {found.severity for found in about(findings, "backlog")} == {"warning"}
    monkeypatch.setattr(backlog, "STALLED", 0.0)
    findings = await examined(nats_server.url, jetstream.names.prefix)
    assert {found.severity for found in about(findings, "backlog")} == {"error"}
    assert all("nobody holds that partition" in found.do for found in about(findings, "backlog"))


async def test_engines_at_work_are_named_with_what_they_hold(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    url, prefix = nats_server.url, jetstream.names.prefix
    async with engine_on(jetstream, "first"):
        alone = one(await examined(url, prefix), "engines")
        async with engine_on(jetstream, "second"):
            shared = await until(url, prefix, lambda found: "first (1), second (1)" in one(found, "engines").says)
            await jetstream.leases.join("third")
            idle = one(await examined(url, prefix), "engines")
    assert (alone.severity, alone.says) == ("note", "1 alive, with 2 partitions: first (2)")
    assert one(shared, "engines").severity == "ok"
    assert idle.says == "3 alive, with 2 partitions: first (1), second (1); nothing to do for third"


async def test_an_engine_that_died_is_said_to_be_silent_and_then_gone(nats_server: EmbeddedServer) -> None:
    bus = await JetStreamBus.connect(nats_server.url, settings(lease_ttl=4))
    engine = Engine(bus, name="dead", stages={})
    await engine.start()
    await engine.kill()
    url, prefix = nats_server.url, bus.names.prefix
    silent = about(await until(url, prefix, lambda found: bool(about(found, "engine dead"))), "engine dead")
    gone = about(await until(url, prefix, lambda found: about(found, "engines")[-1].severity == "error"), "engines")
    assert silent[0].severity == "warning"
    assert gone[-1].says == "none is alive; dead had them and did not hand them over"
    await bus.close()


@pytest.mark.parametrize(
    ("hours", "off", "comes"), [(2, "s ahead of the server's", "late"), (-2, "s behind the server's", "early")]
)
async def test_an_engine_whose_clock_is_wrong_is_named(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, hours: int, off: str, comes: str
) -> None:
    def told(found: list[Finding]) -> list[Finding]:
        return [one for one in found if "its clock" in one.says]

    url, prefix = nats_server.url, jetstream.names.prefix
    async with engine_on(jetstream, "right"), engine_on(jetstream, "wrong", clock=Wrong(timedelta(hours=hours))):
        finding = one(told(await until(url, prefix, lambda found: bool(told(found)))), "engine wrong")
    assert finding.severity == "warning"
    assert finding.says.endswith(off)
    assert comes in finding.means


async def test_an_engine_without_a_stage_its_sessions_have_come_to_says_so(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    async with engine_on(jetstream, stages={"Gate": Gate}):
        await jetstream.publish("start", "stands-still", msgspec.json.encode({"pipeline": gated()}))
        await Gate.began.setdefault("stands-still", asyncio.Event()).wait()
    async with engine_on(jetstream):
        findings = await until(
            nats_server.url,
            jetstream.names.prefix,
            lambda found: any("'Gate' (1 session)" in one.says for one in about(found, "engine e")),
        )
    assert "error" in {one.severity for one in about(findings, "engine e")}


@pytest.mark.parametrize(("version", "severity"), [(HISTORY_VERSION, "note"), (HISTORY_VERSION + 1, "warning")])
async def test_engines_of_two_releases_are_told_apart_and_those_that_are_overtaken_named(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, version: int, severity: str
) -> None:
    async with engine_on(jetstream, "before"):
        later = await jetstream.leases.join("later")
        await jetstream.leases.announce(later, Vitals(release="9.0", history_version=version))
        found = await examined(nats_server.url, jetstream.names.prefix)
    releases = [one for one in about(found, "engines") if "releases" in one.says]
    assert [(one.severity, one.says) for one in releases] == [
        (severity, f"they are of 2 releases: {__version__}: before; 9.0: later")
    ]
    assert ("before may not know" in releases[0].means) == (severity == "warning")


async def test_a_partition_that_is_held_and_not_read_is_an_error(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "LOOK_AGAIN", 0.0)
    for partition in range(2):
        await jetstream.leases.acquire(partition, Member("asleep", 1))
    findings = await examined(nats_server.url, jetstream.names.prefix)
    assert one(findings, "consumers").says == "partitions 0, 1 held by asleep and read by nobody"


async def test_checkpoints_of_other_streams_and_broken_ones_are_errors(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    async with engine_on(jetstream):
        pass
    await jetstream.connection.jsm().purge_stream(jetstream.names.commands)
    revision, checkpoint = await jetstream.checkpoints.read(0)
    assert checkpoint is not None
    other = msgspec.structs.replace(checkpoint, commands_created="2020-01-01T00:00:00Z")
    await jetstream.checkpoints.write(0, revision, other)
    await jetstream._link.store(f"$KV.{jetstream.names.engines}.checkpoint.1", b"{")
    findings = await examined(nats_server.url, jetstream.names.prefix)
    assert "belongs to a stream of commands created 2020" in one(findings, "checkpoint of partition 0").says
    assert "not one of ours" in one(findings, "checkpoint of partition 1").says
