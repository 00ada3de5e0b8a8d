"""`doctor` on what a user may do and may not."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.client import connect
from stageflow_es.doctor import worst
from stageflow_es.doctor.rights import Role
from stageflow_es.errors import StageFlowError

from .examining import about, examined, one
from .servers import Configured


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
