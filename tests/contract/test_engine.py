"""The engine over both buses: a session from its start to its end, its stages run, parked and woken."""

from __future__ import annotations

import asyncio
from datetime import datetime

from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of

from .cluster import COUNTED, END, PATIENCE, Approval, Cluster, Count, chain, count, kinds, stage, waiting


async def test_a_session_runs_to_its_end_with_one_event_a_transition_and_an_unbroken_chain(cluster: Cluster) -> None:
    await cluster.engine()
    seq = await cluster.start("s1", chain(3), payload={"value": 5}, labels={"k": "v"})
    history = await cluster.ended("s1")
    assert kinds(history) == ["session_started", *["stage_completed"] * 3, "session_terminated", "session_completed"]
    assert [event.n for event in history] == [1, 2, 3, 4, 5, 6]
    assert history[0].cause == seq
    stored = await cluster.bus.events.read("s1")
    assert [event.prev for event in history[1:]] == [hash_of(one.data) for one in stored[:-1]]
    last = history[-1]
    assert isinstance(last, ev.SessionCompleted)
    assert (last.result, last.artifacts) == ({"ok": True}, {"value": 8, "answer": None})


async def test_a_hundred_sessions_run_side_by_side(cluster: Cluster) -> None:
    await cluster.engine(max_running=10)
    await asyncio.gather(*(cluster.start(f"s{i}", chain(4)) for i in range(100)))
    for i in range(100):
        await cluster.ended(f"s{i}")
    assert set(Count.runs.values()) == {1}


async def test_an_input_wakes_a_stage_that_was_taken_out_of_memory(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01)
    await cluster.start("s1", waiting())
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    async with asyncio.timeout(PATIENCE):
        while any(held.partition.host.actors for held in cluster.engines[0]._held.values()):
            await asyncio.sleep(0.01)
    await cluster.send("input", "s1", {"type": "approval", "payload": "yes"})
    history = await cluster.ended("s1")
    assert history[-1].artifacts["answer"] == "yes"  # type: ignore[union-attr]
    assert (Approval.steps, count(history, ev.StageEvent), count(history, ev.WaitingForInput)) == ({"s1": 1}, 1, 1)
    assert count(history, ev.StageInterrupted) == 0


async def test_a_wait_that_times_out_goes_on_by_a_durable_timer(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01, local_timers=0.0)
    await cluster.start("s1", waiting(timeout=1.0))
    waiting_for = await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    assert waiting_for[-1].due is not None  # type: ignore[union-attr]
    await cluster.rig.until(datetime.fromisoformat(waiting_for[-1].due))  # type: ignore[union-attr]
    history = await cluster.ended("s1")
    assert history[-1].artifacts["answer"] == "timeout"  # type: ignore[union-attr]


async def test_a_blocking_stage_runs_in_a_thread_and_is_parked_and_woken_like_any_other(cluster: Cluster) -> None:
    await cluster.engine(park_after=0.01)
    node = stage("t", "Threaded", "end", arguments=COUNTED, outputs={"value": "value", "answer": "answer"})
    await cluster.start("s1", {"entry": "t", "nodes": [node, END]}, payload={"value": 7})
    await cluster.until("s1", lambda h: count(h, ev.WaitingForInput) == 1)
    await cluster.send("input", "s1", {"type": "approval", "payload": 1})
    last = (await cluster.ended("s1"))[-1]
    assert isinstance(last, ev.SessionCompleted)
    assert last.artifacts == {"value": 7, "answer": [False, 1]}


async def test_a_stage_that_blocks_the_event_loop_is_reported_by_name(cluster: Cluster) -> None:
    engine = await cluster.engine(blocked_after=0.1)
    await cluster.start("s1", {"entry": "h", "nodes": [stage("h", "Hog", "end"), END]})
    await cluster.ended("s1")
    assert "stage Hog at node h of session s1" in engine.watchdog.reports


async def test_a_stage_that_wants_to_quit_the_process_only_fails(cluster: Cluster) -> None:
    await cluster.engine()
    await cluster.start("s1", {"entry": "q", "nodes": [stage("q", "Quits", "end"), END]})
    last = (await cluster.ended("s1"))[-1]
    assert isinstance(last, ev.SessionFailed)
    assert last.error.type == "SystemExit"
