"""Engines and the server are killed; sessions go on, and no finished stage runs again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.client import Client, connect
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of

HERE = Path(__file__).parent
SESSIONS, LENGTH = 20, 8
PATIENCE = 60

IDS = [f"n{i}" for i in range(LENGTH)] + ["end"]
VALUE = {"value": "value"}
CHAIN: dict[str, Any] = {
    "entry": "n0",
    "nodes": [
        *(
            {"id": here, "type": "stage", "stage": "Trace", "arguments": VALUE, "outputs": VALUE, "next": then}
            for here, then in pairwise(IDS)
        ),
        {"id": "end", "type": "terminal", "artifacts": ["value"]},
    ],
}


class Engines:
    """Engine processes on one server, and the trace their stages leave."""

    def __init__(self, url: str, folder: Path) -> None:
        self._trace = folder / "trace"
        self._trace.touch()
        self._environment = {
            **os.environ,
            "NATS_URL": url,
            "STAGEFLOW_STAGES": str(HERE / "crash_stages.py"),
            "TRACE_FILE": str(self._trace),
        }
        self.processes: list[asyncio.subprocess.Process] = []

    async def start(self, name: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.engine",
            env={**self._environment, "STAGEFLOW_ENGINE": name},
            cwd=HERE.parent.parent,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.processes.append(process)
        return process

    def runs(self) -> list[tuple[str, str, int]]:
        """Every run that began: session, node, nanoseconds since the epoch."""
        lines = [line.split() for line in self._trace.read_text().splitlines()]
        return [(session, node, int(at)) for session, node, at in lines]

    async def began(self, count: int) -> None:
        """Wait until so many runs have begun."""
        async with asyncio.timeout(PATIENCE):
            while len(self.runs()) < count:
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def engines(own_nats_server: EmbeddedServer, tmp_path: Path) -> AsyncIterator[Engines]:
    bus = await JetStreamBus.connect(own_nats_server.url, BusSettings())
    await bus.close()
    engines = Engines(own_nats_server.url, tmp_path)
    yield engines
    await engines.close()


async def start_sessions(client: Client) -> None:
    for i in range(SESSIONS):
        await client.start(CHAIN, session=f"s{i}", wait=False)


async def histories(url: str) -> dict[str, list[bytes]]:
    bus = await JetStreamBus.connect(url, BusSettings())
    try:
        return {f"s{i}": [stored.data for stored in await bus.events.read(f"s{i}")] for i in range(SESSIONS)}
    finally:
        await bus.close()


async def all_completed(url: str) -> dict[str, list[ev.AnyEvent]]:
    """The histories once every session has completed, each with its chain unbroken."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await histories(url)
            decoded = {session: [ev.decode(data) for data in history] for session, history in found.items()}
            if all(history and isinstance(history[-1], ev.SessionCompleted) for history in decoded.values()):
                break
            await asyncio.sleep(0.05)
    for session, history in decoded.items():
        hashes = [hash_of(data) for data in found[session]]
        assert [event.prev for event in history] == ["", *hashes[:-1]]
        assert [event.n for event in history] == list(range(1, len(history) + 1))
    return decoded


def check(decoded: dict[str, list[ev.AnyEvent]], runs: list[tuple[str, str, int]]) -> None:
    """Every stage completed once, and none began again after it had."""
    completed: dict[tuple[str, str], int] = {}
    for session, history in decoded.items():
        nodes = [event.node for event in history if isinstance(event, ev.StageCompleted)]
        assert nodes == IDS[:-1]
        for event in history:
            if isinstance(event, ev.StageCompleted):
                completed[session, event.node] = int(datetime.fromisoformat(event.at).timestamp() * 1e9)
        last = history[-1]
        assert isinstance(last, ev.SessionCompleted)
        assert last.artifacts == {"value": LENGTH}
    late = [(session, node) for session, node, at in runs if at > completed[session, node] + 1_000_000]
    assert late == []


async def test_sessions_outlive_engines_killed_again_and_again(
    own_nats_server: EmbeddedServer, engines: Engines
) -> None:
    process = await engines.start("one")
    async with connect(own_nats_server.url, timeout=PATIENCE) as client:
        await start_sessions(client)
    for kills in range(1, 4):
        await engines.began(kills * 45)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        process = await engines.start("one")
    check(await all_completed(own_nats_server.url), engines.runs())


async def test_a_second_engine_takes_over_what_a_killed_one_held(
    own_nats_server: EmbeddedServer, engines: Engines
) -> None:
    one = await engines.start("one")
    async with connect(own_nats_server.url, timeout=PATIENCE) as client:
        await start_sessions(client)
    await engines.began(30)
    await engines.start("two")
    one.send_signal(signal.SIGKILL)
    check(await all_completed(own_nats_server.url), engines.runs())


async def test_sessions_outlive_a_killed_server(own_nats_server: EmbeddedServer, engines: Engines) -> None:
    await engines.start("one")
    async with connect(own_nats_server.url, timeout=PATIENCE) as client:
        await start_sessions(client)
    await engines.began(40)
    own_nats_server.kill()
    own_nats_server.start()
    check(await all_completed(own_nats_server.url), engines.runs())


async def test_a_stopped_zombie_that_comes_back_writes_nothing_stale(
    own_nats_server: EmbeddedServer, engines: Engines
) -> None:
    one = await engines.start("one")
    async with connect(own_nats_server.url, timeout=PATIENCE) as client:
        await start_sessions(client)
    await engines.began(30)
    one.send_signal(signal.SIGSTOP)
    await engines.start("two")
    await engines.began(90)
    one.send_signal(signal.SIGCONT)
    check(await all_completed(own_nats_server.url), engines.runs())
