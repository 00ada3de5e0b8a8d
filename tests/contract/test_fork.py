"""Forks over both buses: the start command that names another session, as engines take it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import Pipeline
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of

from .cluster import (
    PATIENCE,
    Approval,
    Cluster,
    Count,
    Doomed,
    Gate,
    chain,
    count,
    gated,
    kinds,
    waiting,
    watch_rejections,
)


async def fork(cluster: Cluster, new: str, source: str, at: int | None = None, **fields: Any) -> int:
    id = fields.pop("id", None)
    point = {"session": source} if at is None else {"session": source, "at": at}
    return await cluster.send("start", new, {"fork": point, **fields}, id)


async def gate(session: str) -> None:
    """Wait until the gate of a session runs."""
    await Gate.began.setdefault(session, asyncio.Event()).wait()


def opened(session: str) -> asyncio.Event:
    return Gate.opened.setdefault(session, asyncio.Event())


async def refused(cluster: Cluster, body: Any) -> str:
    """The rejection of a start of f1, as text."""
    rejections = await watch_rejections(cluster)
    seq = await cluster.send("start", "f1", body)
    async with asyncio.timeout(PATIENCE):
        rejection = await rejections.get()
    assert rejection["command_seq"] == seq
    assert await cluster.history("f1") == []
    return msgspec.json.encode(rejection).decode()


async def test_a_fork_runs_on_from_the_event_it_names_and_its_source_is_left_as_it_was(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", chain(3), payload={"value": 5}, labels={"k": "v", "kind": "test"})
    history = await cluster.ended("s1")

    await fork(cluster, "f1", "s1", 2, labels={"kind": "fork"})
    forked = await cluster.ended("f1")

    assert kinds(forked) == ["session_started", *["stage_completed"] * 2, "session_terminated", "session_completed"]
    first = forked[0]
    assert isinstance(first, ev.SessionStarted)
    assert isinstance(first.fork, ev.Origin)
    stored = await cluster.bus.events.read("s1")
    assert (first.fork.session, first.fork.n, first.fork.head) == ("s1", 2, hash_of(stored[1].data))
    assert first.labels == {"k": "v", "kind": "fork"}
    assert forked[-1].artifacts["value"] == 8  # type: ignore[union-attr]
    assert await cluster.history("s1") == history
    assert (Count.runs["s1", "n0"], Count.runs.get(("f1", "n0"))) == (1, None)


async def test_a_parked_stage_is_forked_with_its_recorded_calls_and_its_open_wait(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01)
    await cluster.start("s1", waiting())
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    await fork(cluster, "f1", "s1")
    await cluster.until("f1", lambda h: len(h) == 1)
    await cluster.send("input", "f1", {"type": "approval", "payload": "yes"})
    forked = await cluster.ended("f1")
    assert forked[-1].artifacts == {"value": None, "answer": "yes"}  # type: ignore[union-attr]
    assert kinds(forked) == [
        "session_started",
        "user_input",
        "stage_completed",
        "session_terminated",
        "session_completed",
    ]
    assert Approval.steps == {"s1": 1}
    assert kinds(await cluster.history("s1"))[-1] == "waiting_for_input"


async def test_a_timer_of_the_fork_fires_for_the_fork(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01, local_timers=0.0)
    await cluster.start("s1", waiting(timeout=1.0))
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    await cluster.send("control", "s1", {"action": "stop"})
    await fork(cluster, "f1", "s1", 4)
    (begun, *_) = await cluster.until("f1", bool)
    await cluster.rig.until(datetime.fromisoformat(begun.at) + timedelta(seconds=1))
    forked = await cluster.ended("f1")
    assert forked[-1].artifacts["answer"] == "timeout"  # type: ignore[union-attr]
    assert forked[1].timer == "1-t4"  # type: ignore[union-attr]


async def test_a_stage_that_was_running_runs_again_in_the_fork(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    await gate("s1")
    await fork(cluster, "f1", "s1")
    await cluster.until("f1", bool)
    await gate("f1")
    for session in ("s1", "f1"):
        opened(session).set()
        assert count(await cluster.ended(session), ev.StageInterrupted) == 0


async def test_a_failed_session_is_mended_by_a_fork_under_another_definition(cluster: Cluster) -> None:
    await cluster.engine()
    nodes = [{**node, "stage": "Doomed"} if node["id"] == "n1" else node for node in chain(2)["nodes"]]
    await cluster.start("s1", {"entry": "n0", "nodes": nodes}, payload={"value": 1})
    await cluster.until("s1", lambda h: isinstance(h[-1], ev.SessionFailed) if h else False)
    await fork(cluster, "f1", "s1", pipeline=chain(2), payload={"value": 40})
    forked = await cluster.ended("f1")
    assert forked[-1].artifacts["value"] == 41  # type: ignore[union-attr]
    assert Doomed.broken


async def test_a_fork_goes_by_the_name_of_the_definition_it_asks_for_or_else_by_its_sources(cluster: Cluster) -> None:
    await cluster.engine()
    mended = Pipeline.from_dict(chain(3))
    digest = await cluster.bus.definitions.put(mended.canonical)
    for name in ("orders", "returns"):
        await cluster.bus.definitions.name(name, digest)
    await cluster.start("s1", "orders")
    await cluster.ended("s1")
    for new, asked in (("f1", {}), ("f2", {"pipeline": f"returns@{digest}"}), ("f3", {"pipeline": chain(3)})):
        await fork(cluster, new, "s1", 1, **asked)
    begun = [(await cluster.ended(new))[0] for new in ("f1", "f2", "f3")]
    assert [one.pipeline for one in begun if isinstance(one, ev.SessionStarted)] == ["orders", "returns", None]


async def test_a_paused_fork_waits_for_resume(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", chain(2))
    await cluster.ended("s1")
    await fork(cluster, "f1", "s1", 1, paused=True)
    await cluster.until("f1", bool)
    await cluster.send("control", "f1", {"action": "resume"})
    assert kinds(await cluster.ended("f1"))[:3] == ["session_started", "session_resumed", "stage_completed"]


async def test_a_fork_sent_twice_begins_once_and_one_under_a_name_taken_is_rejected(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    for _ in range(2):
        await fork(cluster, "f1", "s1", id="f1-key")
    await cluster.until("f1", bool)
    await fork(cluster, "f1", "s1", id="f1-other")
    history = await cluster.until("f1", lambda h: count(h, ev.CommandRejected) == 1)
    assert kinds(history) == ["session_started", "command_rejected"]


async def test_a_fork_outlives_the_engine_that_accepted_it(cluster: Cluster) -> None:
    one = await cluster.engine("one")
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    await fork(cluster, "f1", "s1")
    await cluster.until("f1", bool)
    await one.kill()
    cluster.rig.leases_run_out()
    opened("f1").set()
    await cluster.engine("two", await cluster.rig.second_bus())
    assert isinstance((await cluster.ended("f1"))[-1], ev.SessionCompleted)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"fork": {"session": "nobody"}}, "there is no session 'nobody'"),
        ({"fork": {"session": "a b"}}, "a session id is 1 to 128"),
        ({"fork": {"session": "s1", "at": 99}}, "session 's1' has no event 99; its last is 4"),
        ({"fork": {"session": "s1"}}, "was completed by event 4: nothing is left to run"),
        ({"fork": {"session": "s1", "at": 0}}, ">= 1"),
        ({"fork": {}}, "session"),
        ({"fork": {"session": "s1", "at": 1}, "pipeline": "no-such-name"}, "no pipeline 'no-such-name'"),
        ({"fork": {"session": "s1", "at": 1}, "pipeline": gated()}, "'n0' is where the session stands"),
        ({"fork": {"session": "s1", "at": 1}, "pipeline": {"entry": "x", "nodes": []}}, "must have at least one node"),
        ({"fork": {"session": "s1", "at": 1}, "surprise": 1}, "surprise"),
    ],
)
async def test_a_fork_that_cannot_be_is_rejected_in_words(cluster: Cluster, body: Any, message: str) -> None:
    await cluster.engine()
    await cluster.start("s1", chain(1))
    await cluster.ended("s1")
    assert message in await refused(cluster, body)


async def test_a_state_too_large_for_one_event_is_rejected(cluster: Cluster) -> None:
    await cluster.engine()
    nodes = chain(1)["nodes"]
    await cluster.start("s1", {"entry": "n0", "nodes": nodes}, payload={"value": 1, "big": "x" * 700_000})
    await cluster.ended("s1")
    body = {"fork": {"session": "s1", "at": 1}, "payload": {"more": "y" * 700_000}}
    assert "cannot be stored" in await refused(cluster, body)
