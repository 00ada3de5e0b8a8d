"""`doctor` on real servers in every state an operator may find one in."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus, streams
from stageflow_es.cli import main
from stageflow_es.cli.installation import Installation
from stageflow_es.client import connect
from stageflow_es.doctor import Finding, backlog, examination, examine, look_inside, worst
from stageflow_es.doctor.rights import Role
from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Member
from stageflow_es.errors import OperatorError, StageFlowError
from tests.contract.conftest import freeze, settings

WITHIN = 40.0


class Configured(EmbeddedServer):
    """A server with a configuration of one's own; `STORE` is its directory, `monitor` its monitoring port."""

    def __init__(self, directory: Path, config: str) -> None:
        super().__init__(directory)
        self._config = config

    def _write_config(self) -> Path:
        config = super()._write_config()
        text = self._config.replace("STORE", json.dumps(str(self.directory / "jetstream")))
        config.write_text(f"listen: 127.0.0.1:{self.port or -1}\nhttp: 127.0.0.1:-1\n{text}\n")
        return config

    @property
    def monitor(self) -> str:
        found = re.findall(r"Starting http monitor on (\S+)", (self.directory / "nats.log").read_text())
        return f"http://{found[-1]}"

    def as_user(self, user: str) -> str:
        return f"nats://{user}:p@127.0.0.1:{self.port}"


ALWAYS = "jetstream { store_dir: STORE, sync_interval: always }"
USERS = """
jetstream { store_dir: STORE, sync_interval: always }
accounts {
  A: { jetstream: enabled, users: [
    {user: engine, password: p}
    {user: client, password: p, permissions: {
      publish: ["t.command.>", "t.query.>"], subscribe: ["_INBOX.>", "t.events.>", "t.rejections.>"]}}
    {user: careless, password: p, permissions: {publish: {allow: [">"], deny: ["$JS.API.STREAM.PURGE.>"]}}}
    {user: reader, password: p, permissions: {publish: ["$JS.API.>"], subscribe: [">"]}}
    {user: deaf, password: p, permissions: {publish: [">"], subscribe: ["nothing"]}}
  ]}
  B: { users: [{user: nothing, password: p}] }
  SYS: { users: [{user: sys, password: p}] }
}
system_account: SYS
"""


async def examined(
    url: str,
    prefix: str,
    *,
    role: Role | None = None,
    monitor: str | None = None,
    system: str | None = None,
    measure: bool = False,
) -> list[Finding]:
    async with asyncio.timeout(WITHIN), connect(url, prefix=prefix) as client:
        insight = await look_inside(client.link.client, monitor=monitor, system=system)
        return await examine(client, insight=insight, role=role, measure=measure)


def about(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if finding.about.startswith(what)]


def one(findings: list[Finding], what: str) -> Finding:
    found = about(findings, what)
    assert len(found) == 1, found
    return found[0]


async def until(url: str, prefix: str, seen: Callable[[list[Finding]], bool]) -> list[Finding]:
    """Examine again and again, until it is seen."""
    end = asyncio.get_running_loop().time() + 20
    while not seen(findings := await examined(url, prefix)):
        assert asyncio.get_running_loop().time() < end, findings
        await asyncio.sleep(0.05)
    return findings


@asynccontextmanager
async def engine_on(bus: JetStreamBus, name: str = "e") -> AsyncIterator[Engine]:
    engine = Engine(bus, name=name, stages={})
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


# --- well, and almost well --------------------------------------------------------------------------------------


async def test_an_installation_that_is_well_has_nothing_worse_than_what_cannot_be_seen(tmp_path: Path) -> None:
    async with Installation(tmp_path, port=0, prefix="t") as installation:
        findings = await examined(installation.url, "t")
    assert worst(findings) == "unknown"
    assert [finding.about for finding in findings if finding.severity == "unknown"] == ["sync_interval"]
    assert "6 of 6" in one(findings, "streams").says
    assert "up (8)" in one(findings, "engines").says
    assert one(findings, "projection").severity == "ok"


@pytest.mark.parametrize(
    ("config", "severity", "says"),
    [(ALWAYS, "ok", "always"), ("jetstream { store_dir: STORE }", "warning", "every 120 s")],
)
async def test_the_monitoring_port_says_when_the_server_syncs(
    tmp_path: Path, config: str, severity: str, says: str
) -> None:
    with Configured(tmp_path, config) as server:
        findings = await examined(server.url, "t", monitor=server.monitor)
    found = one(findings, "sync_interval")
    assert (found.severity, found.says.startswith(says)) == (severity, True)


async def test_the_system_account_says_when_the_server_syncs(tmp_path: Path) -> None:
    with Configured(tmp_path, USERS) as server:
        findings = await examined(server.as_user("engine"), "t", system=server.as_user("sys"))
        refused = await examined(server.as_user("engine"), "t", system=server.as_user("reader"))
    assert one(findings, "sync_interval").says.startswith("always")
    assert "system account" in one(refused, "sync_interval").says


async def test_a_monitoring_port_that_does_not_answer_is_said(nats_server: EmbeddedServer) -> None:
    for monitor, said in (
        ("http://127.0.0.1:1", "cannot be asked"),
        ("file:///etc/passwd", "no http URL"),
        (nats_server.url.replace("nats", "http"), "cannot be asked"),
    ):
        found = one(await examined(nats_server.url, "t", monitor=monitor), "sync_interval")
        assert found.severity == "unknown"
        assert said in found.says


async def test_durable_writes_are_timed_when_asked_for_and_leave_nothing(jetstream: JetStreamBus) -> None:
    url = str(jetstream.connection.connected_url.geturl())  # type: ignore[union-attr]
    assert not about(await examined(url, jetstream.names.prefix), "write latency")
    findings = await examined(url, jetstream.names.prefix, measure=True)
    assert "a durable write takes" in one(findings, "write latency").says
    async with asyncio.timeout(10):
        while (await jetstream.connection.jsm().stream_info(f"KV_{jetstream.names.engines}")).state.messages:
            await asyncio.sleep(0.1)


# --- servers that will not do -----------------------------------------------------------------------------------


async def test_a_server_without_jetstream_is_an_error(tmp_path: Path) -> None:
    with Configured(tmp_path, "") as server:
        findings = await examined(server.url, "t")
    assert one(findings, "JetStream").severity == "error"
    assert "no JetStream" in one(findings, "JetStream").says


async def test_an_account_without_jetstream_is_an_error(tmp_path: Path) -> None:
    with Configured(tmp_path, USERS) as server:
        findings = await examined(server.as_user("nothing"), "t")
    assert one(findings, "JetStream").severity == "error"


async def test_a_server_that_is_too_old_is_an_error(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "NEEDED", (99, 0, 0))
    found = about(await examined(nats_server.url, jetstream.names.prefix), "version")[0]
    assert found.severity == "error"
    assert "at least 99.0.0 is needed" in found.says


async def test_an_account_that_is_full_is_an_error(tmp_path: Path) -> None:
    account = "{ jetstream: {max_file: 200KB}, users: [{user: u, password: p}] }"
    with Configured(tmp_path, f"{ALWAYS}\naccounts {{ A: {account} }}") as server:
        bus = await JetStreamBus.connect(server.as_user("u"), BusSettings(prefix="t"))
        await bus.events.append("s", [b"x" * 195_000], 0)
        findings = await examined(server.as_user("u"), "t")
        await bus.close()
    assert one(findings, "account storage").severity == "error"


async def test_a_frozen_server_takes_no_longer_than_is_allowed(
    own_nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examination, "ALL_WITHIN", 3.0)
    assert own_nats_server.pid is not None
    async with asyncio.timeout(10), connect(own_nats_server.url, prefix="t") as client:
        freeze(own_nats_server.pid)
        try:
            findings = await examine(client)
        finally:
            os.kill(own_nats_server.pid, signal.SIGCONT)
    assert one(findings, "JetStream").severity == "unknown"
    assert one(findings, "projection").severity != "ok"


# --- streams ----------------------------------------------------------------------------------------------------


async def test_a_bus_nobody_has_set_up_is_one_error(nats_server: EmbeddedServer) -> None:
    findings = await examined(nats_server.url, "nobody-was-here")
    assert one(findings, "streams").severity == "error"
    assert not about(findings, "stream ")


async def test_a_stream_that_was_removed_is_named(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> None:
    await jetstream.connection.jsm().delete_stream(jetstream.names.timers)
    found = one(await examined(nats_server.url, jetstream.names.prefix), "stream ")
    assert (found.severity, found.about) == ("error", f"stream {jetstream.names.timers}")


ALTERED = [
    ("events", {"max_age": 60_000_000_000}, "max_age"),
    ("events", {"max_msgs_per_subject": 5}, "max_msgs_per_subject"),
    ("events", {"discard": "old"}, "discard"),
    ("events", {"allow_direct": False}, "allow_direct"),
    ("events", {"allow_atomic": False}, "allow_atomic"),
    ("events", {"republish": None}, "republish"),
    ("events", {"duplicate_window": 60_000_000_000}, "duplicate_window"),
    ("events", {"no_ack": True}, "no_ack"),
    ("events", {"allow_rollup_hdrs": True}, "allow_rollup_hdrs"),
    ("events", {"allow_msg_ttl": True}, "allow_msg_ttl"),
    ("commands", {"allow_rollup_hdrs": True}, "allow_rollup_hdrs"),
    ("commands", {"max_msg_size": -1}, "max_msg_size"),
    ("commands", {"max_age": 60_000_000_000}, "max_age"),
    (
        "commands",
        {"subject_transform": {"src": "{p}.command.*.*", "dest": "{p}.x.{{wildcard(2)}}"}},
        "subject_transform",
    ),
    ("commands", {"republish": {"src": ">", "dest": "elsewhere.>"}}, "republish"),
    ("timers", {"max_bytes": 1_000_000}, "max_bytes"),
    ("timers", {"max_msgs": 10}, "max_msgs"),
    ("rejections", {"allow_direct": False}, "allow_direct"),
    ("engines", {"max_age": 600_000_000_000}, "max_age"),
    ("pipelines", {"max_msgs_per_subject": 5}, "max_msgs_per_subject"),
]


@pytest.mark.parametrize(
    ("stream", "change", "field"), ALTERED, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_whatever_was_altered_in_a_stream_is_named(
    jetstream: JetStreamBus, nats_server: EmbeddedServer, stream: str, change: dict[str, Any], field: str
) -> None:
    names = jetstream.names
    name = getattr(names, stream) if stream not in ("engines", "pipelines") else f"KV_{getattr(names, stream)}"
    link = jetstream._link
    config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    altered = json.loads(json.dumps(change).replace("{p}", names.prefix))
    await link.api(f"STREAM.UPDATE.{name}", {**config, **altered})
    findings = await examined(nats_server.url, names.prefix)
    assert f"stream {name}: {field}" in [found.about for found in findings if found.severity == "error"]


async def test_limits_that_lose_nothing_are_the_operators(jetstream: JetStreamBus, nats_server: EmbeddedServer) -> None:
    link, name = jetstream._link, jetstream.names.events
    config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    await link.api(f"STREAM.UPDATE.{name}", {**config, "max_bytes": 1000, "max_msg_size": 600_000})
    await jetstream.events.append("s", [b"x" * 900], 0)
    findings = await examined(nats_server.url, jetstream.names.prefix)
    assert not [found for found in findings if found.severity == "error" and found.about.startswith("stream ")]
    assert one(findings, f"room in {name}").severity == "error"
    assert one(findings, f"stream {name}: max_msg_size").severity == "warning"


# --- rights -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    with Configured(tmp_path_factory.mktemp("users"), USERS) as server:
        asyncio.run(_set_up(server))
        yield server


async def _set_up(server: Configured) -> None:
    await (await JetStreamBus.connect(server.as_user("engine"), BusSettings(prefix="t"))).close()


async def test_a_clients_user_with_little_permission_is_told_what_it_may(users: Configured) -> None:
    findings = await examined(users.as_user("client"), "t", role="client")
    may = one(findings, "permissions")
    assert may.severity == "ok"
    assert may.says.startswith(
        "this user may send commands, follow events live, hear rejections; it may not forge events"
    )
    assert worst(findings) == "warning"
    assert [found.about for found in findings if found.severity == "warning"] == ["projection"]
    assert one(findings, "streams").severity == "unknown"


@pytest.mark.parametrize(("role", "severity"), [("client", "error"), (None, "warning"), ("engine", None)])
async def test_a_user_who_may_forge_events_is_judged_by_its_role(
    users: Configured, role: Role | None, severity: str | None
) -> None:
    findings = await examined(users.as_user("careless"), "t", role=role)
    found = [found.severity for found in about(findings, "permissions") if "forge events, set timers" in found.says][1:]
    assert found == ([] if severity is None else [severity])


async def test_a_user_who_cannot_do_its_work_is_an_error(users: Configured) -> None:
    for user, role, lacks in (("reader", "client", "send commands"), ("client", "engine", "set timers")):
        findings = await examined(users.as_user(user), "t", role=role)  # type: ignore[arg-type]
        assert [found for found in about(findings, "permissions") if found.severity == "error" and lacks in found.says]


async def test_a_user_who_hears_no_answer_is_told_so_at_once(users: Configured) -> None:
    async with asyncio.timeout(5):
        findings = await examined(users.as_user("deaf"), "t")
    assert "its own inbox" in one(findings, "permissions").says


async def test_whatever_a_user_may_not_do_is_said_at_once_and_by_its_subject(users: Configured) -> None:
    async with (
        asyncio.timeout(3),
        connect(users.as_user("client"), prefix="t") as client,
    ):  # an answer is waited for 5 s
        with pytest.raises(StageFlowError, match=r"may not publish on \$KV\.T_PIPELINES\.definition\."):
            await client.register("line", {"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]})


async def test_trying_rights_stores_nothing(users: Configured) -> None:
    bus = await JetStreamBus.connect(users.as_user("engine"), BusSettings(prefix="t"))
    names = [bus.names.commands, bus.names.events, bus.names.timers, f"KV_{bus.names.engines}"]
    before = [(await bus._link.api(f"STREAM.INFO.{name}"))["state"]["last_seq"] for name in names]
    await examined(users.as_user("engine"), "t")
    assert [(await bus._link.api(f"STREAM.INFO.{name}"))["state"]["last_seq"] for name in names] == before
    await bus.close()


async def test_where_nobody_is_asked_for_a_password_everybody_may_forge(
    jetstream: JetStreamBus, nats_server: EmbeddedServer
) -> None:
    note = about(await examined(nats_server.url, jetstream.names.prefix), "permissions")[1]
    assert note.severity == "note"
    assert "asks nobody for a password" in note.says


# --- engines and what they have to do -----------------------------------------------------------------------------


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


# --- a cluster ----------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Configured]]:
    """Three servers on this machine."""
    ports = [_free_port() for _ in range(3)]
    routes = ", ".join(f"'nats-route://127.0.0.1:{port}'" for port in ports)
    servers = []
    for number, port in enumerate(ports):
        text = (
            f"server_name: n{number}\n{ALWAYS}\ncluster {{ name: c, listen: '127.0.0.1:{port}', routes: [{routes}] }}"
        )
        servers.append(Configured(tmp_path / f"n{number}", text))
        servers[-1].start()
    yield servers
    for server in servers:
        server.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def test_a_cluster_tells_its_copies_and_which_of_them_is_away(cluster: list[Configured]) -> None:
    async with asyncio.timeout(60):
        bus = await _connected(cluster[0].url)
        whole_ = await examined(cluster[0].url, "t", monitor=cluster[0].monitor)
        cluster[2].kill()
        await bus.close()
        away = about(await until(cluster[0].url, "t", lambda found: bool(about(found, "copies of"))), "copies of")
    assert one(whole_, "replicas").says == "every stream is on 3 servers"
    assert one(whole_, "replicas").severity == "ok"
    assert "always on n0" in one(whole_, "sync_interval").says
    assert "n2" in away[0].says
    assert away[0].severity == "warning"


async def _connected(url: str) -> JetStreamBus:
    while True:
        try:
            return await JetStreamBus.connect(url, BusSettings(prefix="t", replicas=3))
        except OperatorError:
            await asyncio.sleep(0.2)  # the three are still finding each other


# --- the command --------------------------------------------------------------------------------------------------


def test_the_command_says_it_to_people_and_to_programs_with_an_exit_code(
    nats_server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "--server", nats_server.url, "--prefix", "nobody"]) == 3
    printed = capsys.readouterr().out
    assert "ERROR    streams: none of the streams of the prefix 'nobody' is there" in printed
    assert "1 error" in printed
    assert main(["doctor", "--server", nats_server.url, "--prefix", "nobody", "--json"]) == 3
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"severity", "about", "says"} <= set(lines[0])
    assert main(["doctor", "--server", "nats://127.0.0.1:1"]) == 3


def test_nothing_but_warnings_is_exit_code_1(users: Configured, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--server", users.as_user("client"), "--prefix", "t"]) == 1
    assert "1 warning" in capsys.readouterr().out
