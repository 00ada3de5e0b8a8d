"""How long the work of an engine rests when it stops, is killed, or comes back. The bounds are the promise."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter

import pytest

from stageflow_es.session import events as ev
from tests.faults import pipelines as pl
from tests.faults.conftest import PATIENCE, Scene
from tests.faults.processes import Process

SESSIONS = [f"s{i}" for i in range(24)]
LONG = pl.chain(*["Slow"] * 60, seconds=0.2)


async def both_at_work(scene: Scene) -> tuple[Process, Process]:
    """Two engines, each with sessions that take seconds yet."""
    one, two = scene.world.engine("one"), scene.world.engine("two")
    await asyncio.gather(one.start(), two.start())
    async with asyncio.timeout(PATIENCE):
        while sorted(Counter(owners(one, two).values()).values()) != [4, 4]:
            await asyncio.sleep(0.01)
    await scene.start(SESSIONS, LONG, {"value": 60})
    async with asyncio.timeout(PATIENCE):
        for session in SESSIONS:
            await scene.observer.until(session, lambda history: len(history) > 2)
    assert {scene.last_by(session) for session in SESSIONS} == {"one", "two"}
    return one, two


def owners(*engines: Process) -> dict[int, str]:
    """Who took each partition last, by what the engines say."""
    said = [entry for engine in engines for entry in engine.logged() if entry["event"] == "partition_taken"]
    return {entry["partition"]: entry["engine"] for entry in sorted(said, key=lambda entry: entry["timestamp"])}


async def resumed(scene: Scene, sessions: list[str], engine: str) -> float:
    """Seconds until every one of the sessions has a new event by that engine."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(scene.next_by(session, engine) for session in sessions))
    return loop.time() - began


async def test_a_stopped_engine_hands_over_within_a_second(scene: Scene) -> None:
    one, _ = await both_at_work(scene)
    held = [session for session in SESSIONS if scene.last_by(session) == "one"]
    assert held
    waiting = asyncio.create_task(resumed(scene, held, "two"))
    await asyncio.sleep(0)
    assert await one.end(signal.SIGTERM) == 0
    assert await waiting < 1.0


@pytest.mark.parametrize("world", [60], indirect=True, ids=["in a long lease"])
async def test_an_engine_restarted_under_its_name_resumes_within_a_second_of_being_up(scene: Scene) -> None:
    one, _ = await both_at_work(scene)
    held = [session for session in SESSIONS if scene.last_by(session) == "one"]
    await one.end(signal.SIGKILL)
    await one.start()
    await one.until_said("partition_taken")
    assert await resumed(scene, held, "one") < 1.0


async def test_a_killed_engine_is_replaced_within_five_seconds(scene: Scene) -> None:
    one, _ = await both_at_work(scene)
    held = [session for session in SESSIONS if scene.last_by(session) == "one"]
    waiting = asyncio.create_task(resumed(scene, held, "two"))
    await asyncio.sleep(0)
    await one.end(signal.SIGKILL)
    assert await waiting <= 5.0


FROZEN = pl.chain("LongSteps", "Quick")


async def test_an_engine_frozen_past_its_lease_repeats_nothing_and_writes_nothing(scene: Scene) -> None:
    one = await scene.world.engine("one").start()
    await one.until_said("partition_taken")
    await scene.start(SESSIONS, FROZEN, {"value": 2})
    for session in SESSIONS:
        await scene.observer.until(session, lambda history: any(isinstance(e, ev.StepCompleted) for e in history))
    one.send(signal.SIGSTOP)
    two = await scene.world.engine("two").start()
    await two.until_said("partition_taken")
    await scene.ended()
    before = {session: len(scene.observer.histories[session]) for session in SESSIONS}
    one.send(signal.SIGCONT)
    await one.until_said("lease_lost")
    await one.end(signal.SIGTERM)
    assert {session: len(scene.observer.histories[session]) for session in SESSIONS} == before
    assert await scene.audit() == []


async def test_two_engines_of_one_name_at_once_lose_nothing_and_double_nothing(scene: Scene) -> None:
    earlier = await scene.world.engine("one").start()
    await earlier.until_said("partition_taken")
    await scene.start(SESSIONS, pl.chain(*["Slow"] * 20, seconds=0.2), {"value": 20})
    for session in SESSIONS:
        await scene.observer.until(session, lambda history: len(history) > 2)
    earlier.ended_by_us = True
    await scene.world.engine("one").start()
    async with asyncio.timeout(PATIENCE):
        assert await earlier.ended() == 3
        await scene.ended()
    assert "give each engine a name of its own" in earlier.said()
    assert await scene.audit() == []
