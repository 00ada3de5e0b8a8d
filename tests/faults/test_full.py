"""A JetStream store that is full: engines say so and wait, clients are told, and all goes on when there is room."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.errors import CommandRejected
from tests.faults import pipelines as pl
from tests.faults.conftest import PATIENCE, Scene
from tests.faults.world import World

SESSIONS = [f"s{i}" for i in range(8)]
ACCOUNT = "accounts { T { jetstream { max_file: 3MB }, users: [ { user: u, password: p } ] } }\nno_auth_user: u"
FILLER = "$KV.STAGEFLOW_PIPELINES.filler"


@pytest.fixture(params=["server", "account"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A server that has three megabytes for everything, or has that many for the account."""
    limit = {"jetstream": "max_file_store: 3MB"} if request.param == "server" else {"config": ACCOUNT}
    world = World(tmp_path / "world", lease_ttl=2, **limit)
    try:
        await world.start_server()
        await (await world.bus()).close()
        yield world
    finally:
        await world.close()


async def fill(link: Link) -> None:
    """Store until nothing more is taken."""
    number = 0
    for size in (100_000, 1000, 10):
        while True:
            number += 1
            assert number < 1000
            try:
                await link.store(f"{FILLER}.{number}", b"x" * size)
            except ApiError:
                break


async def test_a_full_store_is_said_and_waited_out(scene: Scene) -> None:
    engine = await scene.world.engine("one").start()
    await engine.until_said("partition_taken")
    await scene.start(SESSIONS, pl.chain(*["Slow"] * 60, seconds=0.02), {"value": 60})
    for session in SESSIONS:
        await scene.observer.until(session, lambda history: len(history) > 5)
    await fill(scene.client.link)
    with pytest.raises(CommandRejected, match=r"insufficient resources|limits exceeded"):
        await scene.client.start(pl.chain("Quick"), session="refused", wait=False)
    await asyncio.sleep(2.5)
    assert engine.alive
    assert re.search(r"insufficient resources|limits exceeded", engine.said())
    assert scene.under_way()
    await scene.client.link.api("STREAM.PURGE.KV_STAGEFLOW_PIPELINES", {"filter": f"{FILLER}.*"})
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []


async def test_a_full_stream_of_events_is_said_and_waited_out(scene: Scene) -> None:
    link = scene.client.link
    engine = await scene.world.engine("one").start()
    await engine.until_said("partition_taken")
    await scene.start(SESSIONS, pl.chain(*["Slow"] * 60, seconds=0.02), {"value": 60})
    for session in SESSIONS:
        await scene.observer.until(session, lambda history: len(history) > 5)
    info = await link.api("STREAM.INFO.STAGEFLOW_EVENTS")
    config = info["config"]
    await link.api("STREAM.UPDATE.STAGEFLOW_EVENTS", {**config, "max_bytes": int(info["state"]["bytes"])})
    await engine.until_said("maximum bytes exceeded")
    await asyncio.sleep(1)
    assert engine.alive
    await link.api("STREAM.UPDATE.STAGEFLOW_EVENTS", {**config, "max_bytes": -1})
    async with asyncio.timeout(PATIENCE):
        await scene.ended()
    assert await scene.audit() == []
