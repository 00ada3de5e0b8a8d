"""The projector and the query service as processes, beside an engine."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.client import Client, SessionInfo
from stageflow_es.client.queries import NoQueries
from stageflow_es.engine import Engine
from stageflow_es.process import LATER
from tests.e2e.conftest import ASK

ROOT = Path(__file__).parents[2]


async def start(name: str, server: EmbeddedServer, bus: JetStreamBus, db: Path) -> Process:
    """`python -m services.<name>`."""
    environment = {
        **os.environ,
        "NATS_URL": server.url,
        "STAGEFLOW_PREFIX": bus.settings.prefix,
        "STAGEFLOW_DB": str(db),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{name}", cwd=ROOT, env=environment, stderr=PIPE
    )


@asynccontextmanager
async def service(name: str, server: EmbeddedServer, bus: JetStreamBus, db: Path) -> AsyncIterator[Process]:
    """A service that has started, during the block, which ends with SIGTERM and with a process that ended well."""
    process = await start(name, server, bus, db)
    assert process.stderr is not None
    try:
        while b'"started"' not in await asyncio.wait_for(process.stderr.readline(), 20):
            assert process.returncode is None
        yield process
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, log.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def row_at(client: Client, session: str, status: str) -> SessionInfo:
    """The session's row once it has that status."""
    async with asyncio.timeout(20):
        while True:
            try:
                row = await client.session(session).get()
            except NoQueries:
                row = None
            if row is not None and row.status == status:
                return row
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("names", [("projection", "projection"), ("projector", "query")])
async def test_a_session_shows_in_the_projection_across_restarts(
    names: tuple[str, str],
    nats_server: EmbeddedServer,
    bus: JetStreamBus,
    engine: Engine,
    client: Client,
    tmp_path: Path,
) -> None:
    session = await client.start(ASK, labels={"customer": "ada"})
    db = tmp_path / "data" / "p.db"
    async with service(names[0], nats_server, bus, db), service(names[1], nats_server, bus, db):
        row = await row_at(client, session.id, "waiting")
        assert (row.waiting_for, row.labels) == (["answer"], {"customer": "ada"})
        for wanted in ({"label": "customer=ada"}, {"pipeline": f"@{row.digest[:6]}"}):
            assert [found.session async for found in client.sessions(**wanted)] == [session.id]
        assert not [found async for found in client.sessions(pipeline="@00000000")]
    await session.input("answer", 5)
    await session.result(20)
    async with service(names[0], nats_server, bus, db), service(names[1], nats_server, bus, db):
        row = await row_at(client, session.id, "completed")
        assert row.artifacts == {"answer": 5}
        assert (await session.state(1))["version"] == 1
        assert len(await session.raw_history()) == row.version


async def test_a_damaged_file_ends_the_projector_with_what_to_do(
    nats_server: EmbeddedServer, bus: JetStreamBus, tmp_path: Path
) -> None:
    db = tmp_path / "p.db"
    db.write_bytes(b"scribble " * 5000)
    process = await start("projector", nats_server, bus, db)
    _, log = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 3
    assert f"stageflow rebuild --db {db}" in log.decode()


async def test_a_file_that_cannot_be_made_is_named_with_exit_code_3(
    nats_server: EmbeddedServer, bus: JetStreamBus, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    process = await start("projector", nats_server, bus, tmp_path / "file" / "p.db")
    _, log = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 3
    assert f"projector: [Errno 17] File exists: '{tmp_path / 'file'}'" in log.decode()


@pytest.mark.parametrize(("name", "nicer"), [("projector", LATER), ("projection", LATER), ("query", 0)])
async def test_only_who_follows_the_events_gives_way_to_those_who_make_them(
    nats_server: EmbeddedServer, bus: JetStreamBus, engine: Engine, tmp_path: Path, name: str, nicer: int
) -> None:
    async with service(name, nats_server, bus, tmp_path / "projection.db") as process:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + nicer, 19)
