"""The projection's file locked, full and damaged under a projector process, and the way back."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from tests.faults import audit
from tests.faults import pipelines as pl
from tests.faults.conftest import PATIENCE, Scene
from tests.faults.processes import Process, until


def position(db: Path) -> int:
    """How far the tables are; 0 of a file that the projector has only just made."""
    with closing(sqlite3.connect(db)) as connection:
        made = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoint'").fetchone()
        found = connection.execute("SELECT seq FROM checkpoint").fetchone() if made else None
    return found[0] if found else 0


async def projecting(scene: Scene, count: int) -> Process:
    """A projector, and sessions that have ended and are in its tables."""
    projector = scene.world.projector()
    engine = scene.world.engine("one")
    await asyncio.gather(projector.start(), engine.start())
    await engine.until_said("partition_taken")
    await more(scene, "a", count)
    await caught_up(scene)
    return projector


async def more(scene: Scene, name: str, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        await scene.start([f"{name}{i}" for i in range(count)], pl.chain(*["Quick"] * 5), {"value": 5})
        await scene.ended()


async def caught_up(scene: Scene) -> float:
    """Wait until the tables have everything, for how long; and check that they are as if made anew."""
    stream = "STREAM.INFO.STAGEFLOW_EVENTS"
    last = int((await scene.client.link.api(stream))["state"]["last_seq"])
    db = scene.world.db
    await until(db.exists, PATIENCE, "the file")
    took = await until(lambda: position(db) == last, PATIENCE, f"position {last}")
    assert list(await audit.projection(db, scene.client.link, scene.world.bus_settings)) == []
    return took


async def test_a_projector_waits_for_a_locked_file_and_a_full_disk_and_catches_up(scene: Scene) -> None:
    projector = await projecting(scene, 5)
    with closing(sqlite3.connect(scene.world.db, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await more(scene, "b", 5)
        await projector.until_said("locked")
        other.execute("ROLLBACK")
    await caught_up(scene)
    size = scene.world.db.stat().st_size
    resource.prlimit(projector.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    await more(scene, "c", 50)
    await projector.until_said("projection_interrupted")
    resource.prlimit(projector.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await caught_up(scene)
    assert projector.alive
    assert list(audit.logs(scene.world.processes)) == []


async def test_a_projector_killed_at_any_moment_leaves_a_file_it_goes_on_with(scene: Scene) -> None:
    projector = await projecting(scene, 5)
    for round_ in range(4):
        load = asyncio.create_task(more(scene, f"r{round_}-", 20))
        await asyncio.sleep(0.1 + 0.05 * round_)
        await projector.end(signal.SIGKILL)
        await projector.start()
        await load
    await caught_up(scene)


async def test_a_file_damaged_under_a_projector_ends_it_with_what_to_do_and_a_rebuild_mends_it(scene: Scene) -> None:
    projector = await projecting(scene, 50)
    await projector.end(signal.SIGTERM)
    with scene.world.db.open("r+b") as file:
        file.seek(8192)
        file.write(b"scribble" * 8192)
    await projector.start()
    await more(scene, "b", 50)
    assert await asyncio.wait_for(projector.ended(), PATIENCE) == 3
    assert f"stageflow rebuild --db {scene.world.db}" in projector.said()
    assert "Traceback" not in projector.said()
    command = [sys.executable, "-m", "stageflow_es.cli", "rebuild", "--db", str(scene.world.db)]
    rebuilding = await asyncio.create_subprocess_exec(
        *command, "--server", scene.world.url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(rebuilding.communicate(), PATIENCE)
    assert rebuilding.returncode == 0, said.decode()
    await projector.start()
    await more(scene, "c", 5)
    await caught_up(scene)
