"""The engine as a process: it serves, says that it lives, and stops when it is asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer
from stageflow_es.client import connect

EXAMPLES = Path(__file__).parents[2] / "examples"
ENGINE = [sys.executable, "-m", "services.engine"]
ONE_STAGE = {
    "entry": "count",
    "nodes": [
        {"id": "count", "type": "stage", "stage": "IncrementStage", "outputs": {"value": "n"}, "next": "end"},
        {"id": "end", "type": "terminal", "artifacts": ["n"]},
    ],
}


def settings(server: EmbeddedServer, name: str) -> dict[str, str]:
    return {
        **os.environ,
        "NATS_URL": server.url,
        "STAGEFLOW_PREFIX": f"service-{name}",
        "STAGEFLOW_ENGINE": name,
        "STAGEFLOW_PARTITIONS": "2",
        "STAGEFLOW_STAGES": str(EXAMPLES / "order_stages.py"),
    }


@pytest.fixture
def engine(nats_server: EmbeddedServer) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(ENGINE, env=settings(nats_server, "one"), stderr=subprocess.PIPE, text=True)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def health(server: EmbeddedServer, name: str) -> int:
    return subprocess.run([*ENGINE, "health"], env=settings(server, name), capture_output=True).returncode


async def test_it_serves_is_healthy_and_stops_when_asked(
    nats_server: EmbeddedServer, engine: subprocess.Popen[str]
) -> None:
    async with connect(nats_server.url, prefix="service-one", timeout=30) as client:
        await _until_it_takes_commands(nats_server)
        session = await client.start(ONE_STAGE)
        assert (await session.result(timeout=30)).artifacts == {"n": 1}

    assert await asyncio.to_thread(health, nats_server, "one") == 0
    engine.send_signal(signal.SIGTERM)
    _, said = await asyncio.to_thread(engine.communicate, timeout=30)
    assert engine.returncode == 0, said
    assert await asyncio.to_thread(health, nats_server, "one") == 1


CLINGING = """
import asyncio, time
from contextlib import suppress
from stageflow_es import BaseStage, register_stage

@register_stage("TakesNoCancelling")
class TakesNoCancelling(BaseStage):
    async def run(self):
        self.emit("begun")
        while True:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

@register_stage("BlocksAThread")
class BlocksAThread(BaseStage):
    async def run(self):
        self.emit("begun")
        await asyncio.to_thread(time.sleep, 120)
"""


@pytest.fixture(params=["TakesNoCancelling", "BlocksAThread"])
def clinging(
    nats_server: EmbeddedServer, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A stage that goes on for ever, and an engine under the stage's name that has it."""
    stages = tmp_path / "clinging.py"
    stages.write_text(CLINGING)
    given = {**settings(nats_server, request.param), "STAGEFLOW_STAGES": str(stages)}
    process = subprocess.Popen(ENGINE, env=given, stderr=subprocess.PIPE, text=True)
    yield request.param, process
    if process.poll() is None:
        process.kill()
    process.communicate()


async def test_it_stops_when_asked_whatever_a_stage_goes_on_with(
    nats_server: EmbeddedServer, clinging: tuple[str, subprocess.Popen[str]]
) -> None:
    stage, engine = clinging
    async with connect(nats_server.url, prefix=f"service-{stage}", timeout=30) as client:
        await _until_it_takes_commands(nats_server, stage)
        session = await client.start({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": stage}]})
        async for event in session.events():
            if type(event).__name__ == "StageEvent":
                break
        engine.send_signal(signal.SIGTERM)
        _, said = await asyncio.to_thread(engine.communicate, timeout=30)
    assert engine.returncode == 0, said
    assert "Traceback" not in said
    assert ("left_behind" in said) == (stage == "TakesNoCancelling")


async def _until_it_takes_commands(server: EmbeddedServer, name: str = "one") -> None:
    """The first engine of a prefix makes its streams."""
    async with asyncio.timeout(30):
        while await asyncio.to_thread(health, server, name):
            pass


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"STAGEFLOW_PARTITIONS": "many"}, "partitions"),
        ({"STAGEFLOW_MAX_RUNNING": "0"}, "max_running"),
        ({"STAGEFLOW_STAGES": "no.such.module"}, "no.such.module"),
        ({"NATS_URL": "nats://127.0.0.1:1"}, "127.0.0.1:1"),
    ],
)
def test_what_an_operator_has_to_mend_is_one_line_and_exit_code_3(change: dict[str, str], said: str) -> None:
    done = subprocess.run(ENGINE, env={**os.environ, **change}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
