"""`doctor` on real servers, well and unwell, and the command that says what it finds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus, streams
from stageflow_es.cli import main
from stageflow_es.cli.installation import Installation
from stageflow_es.client import connect
from stageflow_es.doctor import examination, examine, worst

from .conftest import freeze
from .examining import about, examined, one
from .servers import ALWAYS, USERS, Configured


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
