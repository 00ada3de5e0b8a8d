"""All processes killed at once, and what was under way then."""

from __future__ import annotations

import asyncio
import signal
from itertools import pairwise

from stageflow_es.session import events as ev
from tests.faults import pipelines as pl
from tests.faults.conftest import PATIENCE, Scene


async def test_durable_timers_survive_everything_and_fire_once(scene: Scene) -> None:
    engine = await scene.world.engine("one").start()
    await engine.until_said("partition_taken")
    sessions = [f"s{i}" for i in range(40)]
    await scene.start(sessions, pl.chain("Nap", "Quick", seconds=3), {"value": 2})
    for session in sessions:
        await scene.observer.until(session, lambda history: any(isinstance(e, ev.TimerSet) for e in history))
    await asyncio.gather(engine.end(signal.SIGKILL), scene.world.server.end(signal.SIGKILL))
    await scene.world.start_server()
    await engine.start()
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []
    for session in sessions:
        history = scene.observer.histories[session]
        (due,) = [event.due for event in history if isinstance(event, ev.TimerSet)]
        (fired,) = [event.at for event in history if isinstance(event, ev.TimerFired)]
        assert fired >= due


async def test_two_hundred_sessions_under_way_are_done_soon_after_their_engine_is_back(scene: Scene) -> None:
    engine = await scene.world.engine("one").start()
    await engine.until_said("partition_taken")
    sessions = [f"s{i}" for i in range(200)]
    await scene.start(sessions, pl.chain("Slow", *["Quick"] * 9, seconds=0.3), {"value": 10})
    for session in sessions:
        await scene.observer.until(session, lambda history: len(history) >= 1)
    await engine.end(signal.SIGKILL)
    assert len(scene.under_way()) > 100
    await engine.start()
    await engine.until_said("partition_taken")
    loop = asyncio.get_running_loop()
    up = loop.time()
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert loop.time() - up < 5.0  # a second where the machine is this test's alone
    assert await scene.audit() == []
    for session in sessions:
        ns = [event.n for event in scene.observer.histories[session]]
        assert all(after == before + 1 for before, after in pairwise(ns))
