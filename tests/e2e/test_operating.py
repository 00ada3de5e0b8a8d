"""What operators do, as processes against `stageflow up`: forks, many sessions at once, archives."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .test_cli import EXAMPLES, STAGEFLOW, Run, Up

ORDER = ("examples/order_approval.json", "@examples/order.json")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("operating"))
    yield running
    running.stop()


@pytest.fixture
def run(up: Up) -> Run:
    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*STAGEFLOW, *arguments],
            cwd=EXAMPLES.parent,
            env={**os.environ, "NATS_URL": up.url},
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def until(run: Run, label: str, status: str, number: int) -> list[dict[str, Any]]:
    """The rows with a label, once the projection has so many of them in a status."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = run("list", "--label", label, "--status", status, "--limit", "0", "--json").stdout.splitlines()
        if len(listed) == number:
            return [json.loads(line) for line in listed]
    raise AssertionError(f"the projection never had {number} of {label} {status}")


def test_a_session_is_forked_with_a_mended_context(run: Run) -> None:
    run("start", "examples/count_up.json", "--set", "goal=3", "--session", "counted", "--wait")
    first = json.loads(run("history", "counted", "--json").stdout.splitlines()[1])
    forked = run("fork", "counted", "--at", str(first["n"]), "--id", "again", "--set", "goal=5", "--wait")
    assert "counter = 5" in forked.stdout
    assert "fork of counted at 2" in run("history", "again").stdout.splitlines()[0]
    assert run("verify", "again").returncode == 0
    assert "nothing is left to run" in run("fork", "counted", code=1).stderr
    assert "no event 99" in run("fork", "counted", "--at", "99", code=1).stderr
    assert "no session 'nobody'" in run("fork", "nobody", code=1).stderr


def test_a_session_started_paused_begins_with_resume(run: Run) -> None:
    for command in (
        ("start", "examples/count_up.json", "--set", "goal=1", "--session", "held"),
        ("fork", "held", "--id", "held-2"),
    ):
        run(*command, "--paused")
        session = command[-1]
        assert [json.loads(line)["type"] for line in run("history", session, "--json").stdout.splitlines()] == [
            "session_started"
        ]
        if session == "held-2":
            run("resume", session)
            assert "session_completed" in run("watch", session).stdout
    run("resume", "held")
    assert "session_completed" in run("watch", "held").stdout


def test_many_sessions_are_stopped_at_once_and_a_second_time_none(run: Run) -> None:
    for number in range(3):
        run("start", *ORDER, "--session", f"many-{number}", "--label", "kind=many")
    run("start", "examples/count_up.json", "--set", "goal=1", "--label", "kind=many", "--wait")
    until(run, "kind=many", "waiting", 3)
    until(run, "kind=many", "completed", 1)

    dry = run("stop", "--label", "kind=many", "--dry-run")
    assert "3 sessions, nothing done" in dry.stdout
    assert "1 completed" in dry.stderr
    assert len(run("stop", "--where", "label.kind=many", "--dry-run", "--json").stdout.splitlines()) == 3
    assert "--yes" in run("stop", "--label", "kind=many", code=2).stderr
    assert "stop: 3 accepted, 0 rejected, 0 unanswered" in run("stop", "--label", "kind=many", "-y").stdout
    until(run, "kind=many", "stopped", 3)
    last = json.loads(run("stop", "--label", "kind=many", "-y", "--json").stdout)
    assert last == {"action": "stop", "accepted": 0, "rejected": 0, "unanswered": 0}


def test_failed_sessions_are_retried_at_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "doomed.json"
    file.write_text(json.dumps({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "FailStage"}]}))
    for number in range(2):
        run("start", str(file), "--session", f"doomed-{number}", "--label", "kind=doomed", "--wait", code=1)
    until(run, "kind=doomed", "failed", 2)
    answers = run("retry", "--where", "status=failed", "--label", "kind=doomed", "-y", "--json").stdout.splitlines()
    assert json.loads(answers[-1])["accepted"] == 2
    assert "session_retried" in run("history", "doomed-1").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stop"], "stop which?"),
        (["stop", "one", "--all"], "not both"),
        (["stop", "--all", "--label", "a=b"], "not both"),
        (["retry", "--where", "status=completed"], "does not apply"),
        (["list", "--count", "--status", "failed"], "--count is by pipeline and status"),
        (["pause", "--where", "colour=red"], "the key is status, pipeline or label.NAME"),
        (["pause", "--where", "status=strange"], "no status 'strange'"),
        (["pause", "--older-than", "soon"], "is no time"),
        (["archive", "-o", "x"], "archive which?"),
        (["archive", "-o", "x", "--where", "status=failed"], "--include-failed"),
    ],
)
def test_a_selection_that_makes_no_sense_is_exit_code_2(run: Run, arguments: list[str], message: str) -> None:
    assert message in run(*arguments, code=2).stderr


def test_finished_sessions_are_archived_and_their_files_verify(run: Run, tmp_path: Path) -> None:
    for number in range(2):
        run(
            "start",
            "examples/count_up.json",
            "--set",
            "goal=1",
            "--session",
            f"old-{number}",
            "--label",
            "kind=old",
            "--wait",
        )
    run("start", *ORDER, "--session", "open", "--label", "kind=old")
    until(run, "kind=old", "completed", 2)
    until(run, "kind=old", "waiting", 1)
    assert "left alone" in run("archive", "open", "-o", str(tmp_path), code=1).stderr

    said = run("archive", "--label", "kind=old", "-o", str(tmp_path), "-y")

    assert "archive: 2 archived, 0 left alone" in said.stdout
    assert run("verify", str(tmp_path / "old-0.jsonl")).returncode == 0
    rows = until(run, "kind=old", "archived", 2)
    assert rows[0]["artifacts"] == {"counter": 1}
    assert "session_archived" in run("watch", "old-0").stdout
    assert "archived" in run("show", "old-0").stdout
    assert run("verify", str(tmp_path / "old-0.jsonl"), "--against-server").stdout.startswith("verified")
    assert "numbered from 1" in run("replay", str(tmp_path / "old-0.jsonl"), "--at", "0", code=2).stderr
    assert "are in its export" in run("show", "old-0", "--at", "1", code=1).stderr
    assert "archived" in run("stop", "old-0", code=1).stderr
    assert "id is not used again" in run("start", "examples/count_up.json", "--session", "old-0", code=1).stderr
    for looking_back in ("explain", "replay"):
        said = run(looking_back, "old-0", code=1)
        assert "in the export it was archived to (old-0.jsonl): name that file" in said.stderr
    for looking_back in (("verify",), ("history", "--export", str(tmp_path / "x"))):
        said = run(looking_back[0], "old-0", *looking_back[1:], code=1)
        assert "this is all that an archived session leaves behind" in said.stdout
    again = json.loads(run("archive", "old-0", "-o", str(tmp_path), "--json").stdout)
    assert again["outcome"] == "archived before"
