"""Commands to an engine over both buses: applied in order and once, or refused and said so."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from stageflow_es.session import events as ev

from .cluster import END, PATIENCE, Cluster, Doomed, Gate, chain, count, gated, kinds, stage, waiting, watch_rejections


async def test_commands_sent_while_no_engine_runs_are_applied_in_order(cluster: Cluster) -> None:
    await cluster.start("s1", waiting(), paused=True)
    await cluster.send("input", "s1", {"type": "approval", "payload": 1})
    await cluster.send("input", "s1", {"type": "approval", "payload": 2})
    await cluster.send("control", "s1", {"action": "resume"})
    await cluster.engine()
    history = await cluster.ended("s1")
    assert kinds(history)[:4] == ["session_started", "user_input", "user_input", "session_resumed"]
    assert history[-1].artifacts["answer"] == 1  # type: ignore[union-attr]


async def test_a_failed_session_is_retried_from_where_it_failed(cluster: Cluster) -> None:
    await cluster.engine()
    nodes = [*chain(1)["nodes"][:1], stage("d", "Doomed", "end"), END]
    nodes[0]["next"] = "d"
    await cluster.start("s1", {"entry": "n0", "nodes": nodes})
    await cluster.ended("s1")
    Doomed.broken = False
    await cluster.send("control", "s1", {"action": "retry"})
    history = await cluster.until("s1", lambda h: count(h, ev.SessionCompleted) == 1)
    assert kinds(history) == [
        "session_started",
        "stage_completed",
        "stage_failed",
        "session_failed",
        "session_retried",
        "stage_completed",
        "session_terminated",
        "session_completed",
    ]


async def test_where_a_stage_raised_is_in_the_engines_log_and_not_in_the_history(cluster: Cluster) -> None:
    await cluster.engine()
    with capture_logs() as logged:
        await cluster.start("s1", {"entry": "d", "nodes": [stage("d", "Doomed", "end"), END]})
        history = await cluster.ended("s1")
    (entry,) = [one for one in logged if one["event"] == "stage_failed"]
    assert entry["by"] == "stage Doomed at node d of session s1"
    assert entry["exception"].endswith('raise ValueError("broken")\nValueError: broken\n')
    assert "Traceback" not in str(history)


async def test_stop_cancels_a_running_stage_and_skip_passes_one(cluster: Cluster) -> None:
    await cluster.engine()
    for session in ("s1", "s2"):
        await cluster.start(session, gated())
        await cluster.until(session, bool)
        await Gate.began[session].wait()
    await cluster.send("control", "s1", {"action": "stop"})
    await cluster.send("control", "s2", {"action": "skip"})
    assert kinds(await cluster.ended("s1")) == ["session_started", "session_stopped"]
    assert kinds(await cluster.ended("s2"))[1] == "stage_skipped"


BAD: list[tuple[str, Any, str]] = [
    ("start", b"{", "not JSON"),
    ("start", {}, "pipeline"),
    ("start", {"pipeline": "nobody"}, "no pipeline"),
    ("start", {"pipeline": {"entry": "x", "nodes": []}}, ""),
    ("start", {"pipeline": {"entry": "a", "nodes": [stage("a", "Nope", None)]}}, "Nope"),
    ("start", {"pipeline": chain(1), "extra": 1}, "extra"),
    ("start", {"pipeline": chain(1), "session": "other"}, "other"),
    ("input", {"type": "x"}, "no session"),
    ("control", {"action": "dance"}, "dance"),
    ("control", {"action": "stop"}, "no session"),
]


@pytest.mark.parametrize(("kind", "body", "says"), BAD)
async def test_a_command_that_cannot_be_accepted_is_answered_by_a_rejection(
    cluster: Cluster, kind: str, body: Any, says: str
) -> None:
    await cluster.engine()
    rejections = await watch_rejections(cluster)
    seq = await cluster.send(kind, "s1", body)
    async with asyncio.timeout(PATIENCE):
        rejection = await rejections.get()
    assert rejection["command_seq"] == seq
    assert says in msgspec.json.encode(rejection).decode()
    assert await cluster.history("s1") == []
    await cluster.start("s2", chain(1))
    await cluster.ended("s2")


async def test_a_refused_command_to_an_existing_session_leaves_an_event_and_a_rejection(cluster: Cluster) -> None:
    await cluster.engine()
    rejections = await watch_rejections(cluster)
    await cluster.start("s1", chain(1))
    await cluster.ended("s1")
    seqs = [await cluster.start("s1", chain(1)), await cluster.send("input", "s1", {"type": "x"})]
    async with asyncio.timeout(PATIENCE):
        answers = [await rejections.get(), await rejections.get()]
    assert [answer["command_seq"] for answer in answers] == seqs
    history = await cluster.history("s1")
    assert [event.cause for event in history[-2:]] == seqs
    assert kinds(history[-2:]) == ["command_rejected"] * 2


async def test_a_command_repeated_under_its_id_is_applied_once(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.send("start", "s1", {"pipeline": waiting()}, "s1-start")
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    for _ in range(2):
        await cluster.send("start", "s1", {"pipeline": waiting()}, "s1-start")
    await cluster.send("input", "s1", {"type": "approval", "payload": 1}, "s1-a")
    history = await cluster.ended("s1")
    assert count(history, ev.CommandRejected) == 0
    assert count(history, ev.SessionStarted) == 1
