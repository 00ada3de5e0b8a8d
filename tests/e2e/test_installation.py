"""What `stageflow up` runs, in this process and beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from argparse import Namespace
from asyncio import timeout
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer
from stageflow_es.cli import child, projector, up
from stageflow_es.cli.child import Child
from stageflow_es.cli.installation import DATABASE, Installation
from stageflow_es.client import connect
from stageflow_es.engine import engine
from stageflow_es.errors import OperatorError


async def test_an_installation_ends_with_its_server_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STOP_PATIENCE", 0.1)
    async with Installation(tmp_path, port=0) as installation:
        assert installation.server.pid is not None
        os.kill(installation.server.pid, signal.SIGKILL)
        async with timeout(20):
            with pytest.raises(OperatorError, match="nats-server has ended"):
                await installation.wait()


async def test_an_installation_ends_with_its_projector_and_says_so(tmp_path: Path) -> None:
    async with Installation(tmp_path, port=0) as installation:
        os.kill(installation.projector.pid, signal.SIGKILL)
        async with timeout(20):
            with pytest.raises(OperatorError, match="the projector has ended, with exit code -9"):
                await installation.wait()


async def test_a_projector_ends_in_order_when_whoever_started_it_is_gone(
    nats_server: EmbeddedServer, tmp_path: Path
) -> None:
    arguments = [projector.__name__, nats_server.url, "t", str(tmp_path / "p.db")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.close()
    async with timeout(20):
        _, said = await process.communicate()
    assert process.returncode == projector.OK
    assert b"Traceback" not in said


async def test_a_projector_without_a_server_says_so(tmp_path: Path) -> None:
    arguments = [projector.__name__, "nats://127.0.0.1:1", "t", str(tmp_path / "p.db")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with timeout(20):
        assert process.stderr is not None
        assert b"projector: cannot connect to NATS at nats://127.0.0.1:1" in await process.stderr.read()
        assert await process.wait() == projector.OPERATOR
    assert process.stdin is not None
    process.stdin.close()


async def test_a_child_that_does_not_end_when_it_is_to_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stubborn.py").write_text("import time\nwhile True:\n    time.sleep(60)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(child, "STOP_WITHIN", 0.05)
    stubborn = await Child.start("stubborn one", "stubborn")
    await stubborn.stop()
    with pytest.raises(OperatorError, match="the stubborn one has ended, with exit code -9"):
        await stubborn.wait()


async def test_an_installation_given_up_while_its_server_starts_leaves_no_server(tmp_path: Path) -> None:
    installation = Installation(tmp_path, port=0)
    server, loop = installation.server, asyncio.get_running_loop()
    begun, go, over = asyncio.Event(), threading.Event(), threading.Event()
    start = server.start

    def start_when_told() -> str:
        loop.call_soon_threadsafe(begun.set)
        go.wait(20)
        try:
            return start()
        finally:
            over.set()

    server.start = start_when_told  # type: ignore[method-assign]
    entering = asyncio.create_task(installation.__aenter__())
    try:
        async with timeout(20):
            await begun.wait()
            entering.cancel()
            go.set()
            with pytest.raises(asyncio.CancelledError):
                await entering
            assert await asyncio.to_thread(over.wait, 20)
        assert server.pid is None
    finally:
        await asyncio.to_thread(server.stop)


async def test_stageflow_up_that_is_to_stop_while_it_starts_gives_up_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def make_anew_for_ever(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Installation, "_run_projector", make_anew_for_ever)
    monkeypatch.setattr("stageflow_es.log.log_warnings", lambda: None)
    args = Namespace(directory=tmp_path, port=0, prefix="t", partitions=2, metrics=None, json=True)
    serving = asyncio.create_task(up._serve(args))
    try:
        async with timeout(20):
            await begun.wait()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await serving == 0
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_an_installation_whose_projection_is_damaged_makes_it_anew(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"scribble " * 5000)
    async with Installation(tmp_path, port=0) as installation, connect(installation.url) as client:
        session = await client.start({"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]})
        async with timeout(20):
            while (row := await session.get()) is None or row.status != "completed":
                await asyncio.sleep(0.02)
    assert (tmp_path / f"{DATABASE}.old").read_bytes().startswith(b"scribble")
