"""What outlives an engine, over both buses: another one goes on where it was."""

from __future__ import annotations

import asyncio

from stageflow_es.session import events as ev

from .cluster import END, PATIENCE, Cluster, Count, Gate, chain, count, gated, kinds, stage


async def test_another_engine_goes_on_where_a_dead_one_was_and_repeats_no_finished_stage(cluster: Cluster) -> None:
    one = await cluster.engine("one")
    nodes = [*chain(2)["nodes"][:2], stage("gate", "Gate", "end"), END]
    nodes[1]["next"] = "gate"
    await cluster.start("s1", {"entry": "n0", "nodes": nodes})
    await cluster.until("s1", lambda h: count(h, ev.StageCompleted) == 2)
    await Gate.began["s1"].wait()
    await one.kill()
    cluster.rig.leases_run_out()
    Gate.opened["s1"].set()
    await cluster.engine("two", await cluster.rig.second_bus())
    history = await cluster.ended("s1")
    assert (Count.runs["s1", "n0"], Count.runs["s1", "n1"]) == (1, 1)
    assert count(history, ev.StageInterrupted) == 1


async def test_a_clean_hand_over_blames_no_run(cluster: Cluster) -> None:
    one = await cluster.engine("one")
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    await Gate.began["s1"].wait()
    await one.stop()
    Gate.opened["s1"].set()
    await cluster.engine("two", await cluster.rig.second_bus())
    history = await cluster.ended("s1")
    assert kinds(history) == ["session_started", "stage_completed", "session_terminated", "session_completed"]


async def test_a_stage_that_keeps_dying_with_its_engine_is_given_up(cluster: Cluster) -> None:
    await cluster.start("s1", gated())
    for round in range(3):
        Gate.began["s1"] = asyncio.Event()
        engine = await cluster.engine("one", interrupt_limit=2)
        await asyncio.wait_for(Gate.began["s1"].wait(), PATIENCE)
        await cluster.until("s1", lambda h, seen=round: count(h, ev.StageInterrupted) == seen)  # type: ignore[misc]
        await engine.kill()
    await cluster.engine("one", interrupt_limit=2)
    history = await cluster.ended("s1")
    assert kinds(history)[-2:] == ["stage_failed", "session_failed"]
