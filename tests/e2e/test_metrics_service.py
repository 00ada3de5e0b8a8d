"""Metrics as a process: it serves its page with and without a bus, is healthy, and stops when it is asked to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.request import urlopen

import pytest

from stageflow_es.bus.jetstream import EmbeddedServer
from tests.strict_metrics import Numbers, numbers

METRICS = [sys.executable, "-m", "services.metrics"]
NOWHERE = "nats://127.0.0.1:1"


@contextmanager
def _serving(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the address it says it serves at."""
    environment = {**os.environ, "NATS_URL": url, "STAGEFLOW_METRICS": "127.0.0.1:0"}
    process = subprocess.Popen(METRICS, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield process, json.loads(process.stderr.readline())["url"]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _page(url: str) -> Numbers:
    with urlopen(url, timeout=20) as answer:
        return numbers(answer.read(), openly=False)


def _run(*arguments: str, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [*METRICS, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_it_serves_is_healthy_and_stops_when_asked(nats_server: EmbeddedServer) -> None:
    with _serving(nats_server.url) as (process, url):
        assert _page(url)["stageflow_up", "bus"] == 1
        listen = url.removeprefix("http://").removesuffix("/metrics")
        assert _run("health", STAGEFLOW_METRICS=listen)[0] == 0
        code, said = _run(STAGEFLOW_METRICS=listen, NATS_URL=nats_server.url)
        assert (code, "name another address" in said) == (3, True)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
        assert _run("health", STAGEFLOW_METRICS=listen)[0] == 1


def test_it_begins_without_a_bus_and_says_so() -> None:
    with _serving(NOWHERE) as (process, url):
        found = _page(url)
        assert found["stageflow_up", "bus"] == 0
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert "cannot connect to NATS" in said
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "said"), [("STAGEFLOW_METRICS", ":9464", "HOST:PORT"), ("STAGEFLOW_PREFIX", "a b", "prefix")]
)
def test_a_wrong_setting_is_exit_code_3_and_says_what_to_do(name: str, value: str, said: str) -> None:
    code, message = _run(**{name: value})
    assert (code, said in message) == (3, True)
