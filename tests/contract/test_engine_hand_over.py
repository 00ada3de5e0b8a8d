"""What outlives an engine, over both buses: another one goes on where it was."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from stageflow_es.engine.ports import Leases, Member
from stageflow_es.engine.vitals import Vitals
from stageflow_es.errors import OperatorError
from stageflow_es.session import HISTORY_VERSION
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


LATER = HISTORY_VERSION + 1


async def _takes_all(leases: Leases, later: Member, partitions: int) -> dict[int, int]:
    """The leases of an engine of a later release, once the others have left it every partition."""
    taken: dict[int, int] = {}
    async with asyncio.timeout(PATIENCE):
        while len(taken) < partitions:
            await leases.announce(later, Vitals(history_version=LATER))
            for number in set(range(partitions)) - taken.keys():
                lease = await leases.acquire(number, later)
                if lease is not None:
                    taken[number] = lease
            await asyncio.sleep(0.01)
    return taken


async def test_an_engine_leaves_everything_to_one_of_a_later_release_and_resumes_it_when_that_goes_without_a_trace(
    cluster: Cluster,
) -> None:
    await cluster.engine("one")
    await cluster.start("s1", gated())
    await cluster.until("s1", bool)
    await Gate.began["s1"].wait()
    leases = (await cluster.rig.second_bus()).leases
    later = await leases.join("later")
    taken = await _takes_all(leases, later, cluster.bus.partitions)
    for number, lease in taken.items():
        await leases.release(number, later, lease)
    await leases.withdraw(later)
    Gate.opened["s1"].set()
    history = await cluster.ended("s1")
    assert kinds(history) == ["session_started", "stage_completed", "session_terminated", "session_completed"]


async def test_an_engine_starts_beside_one_of_a_later_release_and_takes_nothing(cluster: Cluster) -> None:
    leases = (await cluster.rig.second_bus()).leases
    later = await leases.join("later")
    await leases.announce(later, Vitals(history_version=LATER))
    engine = await cluster.engine("one")
    assert len(await _takes_all(leases, later, cluster.bus.partitions)) == cluster.bus.partitions
    await engine.stop()


async def test_an_engine_does_not_touch_what_one_of_a_later_release_has_worked_on(cluster: Cluster) -> None:
    await (await cluster.engine("one")).stop()
    revision, checkpoint = await cluster.bus.checkpoints.read(0)
    assert checkpoint is not None
    later = replace(checkpoint, history_version=LATER)
    await cluster.bus.checkpoints.write(0, revision, later)
    with pytest.raises(OperatorError, match="partition 0: an engine of a later release"):
        await (await cluster.engine("one")).wait()
    assert (await cluster.bus.checkpoints.read(0))[1] == later


async def test_a_partition_remembers_the_latest_release_that_worked_on_it(cluster: Cluster) -> None:
    await (await cluster.engine("one")).stop()
    revision, checkpoint = await cluster.bus.checkpoints.read(0)
    assert checkpoint is not None
    assert checkpoint.history_version == HISTORY_VERSION
    await cluster.bus.checkpoints.write(0, revision, replace(checkpoint, history_version=0))
    await (await cluster.engine("two")).stop()
    _, checkpoint = await cluster.bus.checkpoints.read(0)
    assert checkpoint is not None
    assert (checkpoint.owner, checkpoint.history_version) == ("two", HISTORY_VERSION)
