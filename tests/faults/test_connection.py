"""A server that is out of reach, half-open, or whose answers do not arrive."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from stageflow_es.bus.jetstream import JetStreamBus
from stageflow_es.client import connect
from stageflow_es.engine.ports import WrongSequence
from stageflow_es.session import events as ev
from tests.faults import pipelines as pl
from tests.faults.conftest import PATIENCE, Scene
from tests.faults.proxy import Proxy, acknowledgement

SESSIONS = [f"s{i}" for i in range(16)]
AWAY = float(os.environ.get("AWAY", "5"))
"""Seconds the server is away: longer than a lease. `make faults` makes it a minute."""


@pytest.fixture
async def proxy(scene: Scene) -> AsyncIterator[Proxy]:
    proxy = await Proxy(*scene.world.servers.ports).start()
    yield proxy
    await proxy.close()


async def under_way(scene: Scene, proxy: Proxy) -> None:
    """An engine behind the proxy, with sessions that take seconds yet."""
    engine = await scene.world.engine("one", proxy.url).start()
    await engine.until_said("partition_taken")
    await scene.start(SESSIONS, pl.chain("Steps", *["Slow"] * 20, "Nap", seconds=0.1), {"value": 22})
    for session in SESSIONS:
        await scene.observer.until(session, lambda history: len(history) > 5)


async def test_sessions_go_on_when_a_server_that_was_out_of_reach_is_back(scene: Scene, proxy: Proxy) -> None:
    await under_way(scene, proxy)
    proxy.refusing = True
    proxy.cut()
    await asyncio.sleep(AWAY)
    before = scene.observer.events
    proxy.mend()
    loop = asyncio.get_running_loop()
    back = loop.time()
    while scene.observer.events == before:
        assert loop.time() - back < 2.0
        await asyncio.sleep(0.01)
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []


async def test_sessions_go_on_after_a_connection_that_was_open_and_silent(scene: Scene, proxy: Proxy) -> None:
    await under_way(scene, proxy)
    proxy.stalled = True
    await asyncio.sleep(5)
    proxy.stalled = False
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []


async def test_appends_whose_answers_are_lost_are_made_once(scene: Scene, proxy: Proxy) -> None:
    await under_way(scene, proxy)
    proxy.lose = acknowledgement
    async with asyncio.timeout(PATIENCE):
        while proxy.lost < 3:
            await asyncio.sleep(0.01)
    proxy.lose = None
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []


async def test_a_command_whose_answer_is_lost_is_sent_again_and_applied_once(scene: Scene, proxy: Proxy) -> None:
    engine = await scene.world.engine("one").start()
    await engine.until_said("partition_taken")
    async with connect(proxy.url, timeout=PATIENCE) as client:
        client.link.timeout = 0.5
        proxy.lose = lambda line, payload: acknowledgement(line, payload) and proxy.lost < 1
        session = await client.start(pl.asking(2), session="s", id="s-start")
        proxy.lost = 0
        await session.input("answer", 1, id="s-1")
    assert proxy.lost == 1
    again = scene.client.session("s")
    await again.input("answer", 1, id="s-1", wait=False)
    await again.input("answer", 2, id="s-2")
    await again.input("answer", 1, id="s-1", wait=False)
    await scene.client.start(pl.asking(2), session="s", id="s-start", wait=False)
    outcome = await again.result(PATIENCE)
    assert outcome.artifacts == {"answers": [1, 2]}
    assert [e.payload for e in scene.observer.histories["s"] if isinstance(e, ev.UserInput)] == [1, 2]


async def test_an_append_that_arrives_late_is_refused_once_somebody_else_has_written(
    scene: Scene, proxy: Proxy
) -> None:
    """Two owners of one session: what the slow one sent before the other wrote arrives after it."""
    slow = await JetStreamBus.connect(proxy.url, scene.world.bus_settings)
    other = await scene.world.bus()
    first = await slow.events.append("s", [b"{}"], 0)
    proxy.stalled = True
    late = asyncio.ensure_future(slow.events.append("s", [b'{"late":1}'], first))
    await asyncio.sleep(0.05)
    await other.events.append("s", [b'{"n":2}'], first)
    proxy.stalled = False
    with pytest.raises(WrongSequence):
        await late
    assert [stored.data for stored in await other.events.read("s")] == [b"{}", b'{"n":2}']
    await slow.close()
    await other.close()
