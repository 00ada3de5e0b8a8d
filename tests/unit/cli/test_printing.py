"""Where what a command prints cannot go: a pipe nobody reads, a disk that is full, a terminal with few characters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stdout, suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Thread

import pytest

from stageflow_es.cli import main
from stageflow_es.cli.history import _whole

EXAMPLE = Path(__file__).parents[3] / "examples" / "count_up.json"
GRAPH = [sys.executable, "-m", "stageflow_es.cli", "graph", str(EXAMPLE)]


def test_a_reader_who_has_enough_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(GRAPH, stdout=write, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_disk_that_is_full_is_one_line_and_exit_code_3() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(GRAPH, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "No space left" in done.stderr


def test_output_that_is_closed_is_no_failure() -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *GRAPH], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def pipeline(tmp_path: Path) -> str:
    """A pipeline with a name that not every terminal can show."""
    file = tmp_path / "p.json"
    node = {"id": "größe ☃", "type": "terminal"}
    file.write_text(json.dumps({"entry": "größe ☃", "nodes": [node]}), encoding="utf-8")
    return str(file)


def printed(arguments: list[str]) -> bytes:
    """What reaches a terminal of ASCII alone."""
    reached = BytesIO()
    terminal = TextIOWrapper(reached, encoding="ascii", write_through=True)
    with redirect_stdout(terminal):
        assert main(arguments) == 0
    return reached.getvalue()


def test_what_a_terminal_cannot_show_is_an_escape(pipeline: str) -> None:
    assert rb"gr\xf6\xdfe \u2603" in printed(["graph", pipeline])


def test_json_is_utf_8_whatever_the_terminal_can_show(pipeline: str) -> None:
    assert json.loads(printed(["graph", pipeline, "--json"]))["boxes"][0]["id"] == "größe ☃"


def test_an_export_into_a_pipe_leaves_it_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    with _whole(pipe) as file:
        file.write(b"history")
    reader.join(10)
    assert pipe.is_fifo()
    assert read == [b"history"]


def test_an_export_that_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_bytes(b"before")
    with suppress(ValueError), _whole(file) as part:
        part.write(b"half")
        raise ValueError
    assert [entry.name for entry in tmp_path.iterdir()] == ["history.jsonl"]
    assert file.read_bytes() == b"before"
