"""The deployable processes' command lines: what they do not take they refuse, before they connect to anything."""

from __future__ import annotations

import asyncio
import os
import runpy
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from services import projecting
from services.engine import __main__ as engine
from services.settings import Settings
from stageflow_es.engine.ports import Unanswered
from stageflow_es.projection import Outdated, Store

NOT_TAKEN = [
    ("engine", ["nonsense"]),
    ("engine", ["health", "nonsense"]),
    ("engine", ["--partitions", "4"]),
    ("projector", ["nonsense"]),
    ("query", ["health"]),
    ("projection", ["--db=x"]),
    ("metrics", ["9464"]),
]


def _run(monkeypatch: pytest.MonkeyPatch, service: str, *arguments: str) -> object:
    """The exit code."""
    monkeypatch.delitem(sys.modules, f"services.{service}.__main__", raising=False)
    monkeypatch.setattr(sys, "argv", [service, *arguments])
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"services.{service}", run_name="__main__")
    return ended.value.code


@pytest.mark.parametrize(("service", "arguments"), NOT_TAKEN)
def test_an_argument_it_does_not_take_ends_a_service_with_what_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str, arguments: list[str]
) -> None:
    assert _run(monkeypatch, service, *arguments) == 2
    said = capsys.readouterr().err
    assert f"usage: python -m services.{service}" in said
    assert ("{health}" in said) == (service in ("engine", "metrics"))


@pytest.mark.parametrize("service", ["engine", "projector", "query", "projection", "metrics"])
def test_asked_for_help_a_service_says_what_it_does_and_which_settings_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], service: str
) -> None:
    assert _run(monkeypatch, service, "--help") == 0
    said = capsys.readouterr().out
    assert "Exit codes" in said
    assert "NATS_URL" in said
    assert "STAGEFLOW_PREFIX" in said


async def test_an_engine_that_waits_for_its_bus_ends_when_it_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = asyncio.Event()

    async def connect(_: object) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(engine, "connect", connect)
    serving = asyncio.create_task(engine.serve(engine.Settings()))
    await waiting.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(serving, 20) == 0


@pytest.fixture
def outdated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """What a projector is wired with whose file is of an older release."""

    async def checkpoint(_: Store) -> None:
        raise Outdated("of another release")

    monkeypatch.setattr(Store, "checkpoint", checkpoint)
    monkeypatch.setattr(projecting, "RENEW_PAUSE", 0)
    return SimpleNamespace(feed=None, definitions=None, settings=Settings(db=str(tmp_path / "p.db")))


async def test_a_file_is_made_anew_once_the_bus_answers(outdated: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []

    async def rebuild(*_: object) -> None:
        tries.append("tried")
        if len(tries) < 3:
            raise Unanswered("no leader")

    monkeypatch.setattr(projecting, "rebuild", rebuild)
    store = Store(outdated.settings.path)
    await asyncio.wait_for(projecting._renew(outdated, store), 20)
    assert len(tries) == 3
    await store.close()


async def test_a_projector_that_waits_to_make_its_file_anew_ends_when_it_is_asked_to(
    outdated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def rebuild(*_: object) -> None:
        asked.set()
        raise Unanswered("no leader")

    monkeypatch.setattr(projecting, "rebuild", rebuild)
    await asyncio.wait_for(projecting.project(outdated, asked), 20)
