"""Asking whether many sessions are meant: somebody at a terminal, and a program."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from argparse import Namespace
from collections.abc import Iterator

import pytest

from stageflow_es.cli.options import UsageError
from stageflow_es.cli.selecting import meant
from stageflow_es.client import SessionInfo

ROWS = [SessionInfo(session="s", status="running")]


def arguments(**given: bool) -> Namespace:
    return Namespace(**{"json": False, "yes": False, "dry_run": False, **given})


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written here is typed."""
    keys, terminal = pty.openpty()
    with os.fdopen(terminal, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield keys
    os.close(keys)


@pytest.mark.parametrize(("typed", "answer"), [(b"y\n", True), (b"Yes\n", True), (b"n\n", False), (b"\n", False)])
async def test_what_somebody_types_decides_whether_many_sessions_are_stopped(
    keyboard: int, typed: bytes, answer: bool
) -> None:
    os.write(keyboard, typed)
    assert await meant(arguments(), "stop", ROWS, []) is answer


async def test_a_question_can_be_left_unanswered_at_once(keyboard: int) -> None:
    """Ctrl-C cancels the command; a read that blocks the event loop would wait for Enter first."""
    asked = asyncio.create_task(meant(arguments(), "stop", ROWS, []))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asked, 10)


async def test_a_program_is_not_asked_and_gets_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--yes"):
        await meant(arguments(json=True), "stop", ROWS, [])
    assert capsys.readouterr().out == ""
