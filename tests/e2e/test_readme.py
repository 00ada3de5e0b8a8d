"""The README is true: its programs run and print what their comments say, and its tables name what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stageflow_es.cli.registry import COMMANDS

from .test_cli import Up

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
NEEDS_A_SERVICE = "# needs: stageflow up"
PRINTS = re.compile(r"^\s*print\(.*\)  # (.*)$", re.MULTILINE)


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("program", [text for text in PROGRAMS if NEEDS_A_SERVICE not in text])
def test_a_program_runs_and_prints_what_its_comments_say(program: str) -> None:
    assert run(program).splitlines() == PRINTS.findall(program)


def test_the_tests_in_it_pass_where_there_is_nothing_else(tmp_path: Path) -> None:
    (program,) = [text for text in PROGRAMS if "def test_" in text]
    (tmp_path / "test_order.py").write_text(program)
    command = [sys.executable, "-m", "pytest", "-W", "error"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert f"{program.count('def test_')} passed" in done.stdout, done.stdout + done.stderr


def test_the_program_that_needs_a_service_runs_against_one(tmp_path: Path) -> None:
    (program,) = [text for text in PROGRAMS if NEEDS_A_SERVICE in text]
    up = Up(tmp_path)
    try:
        printed = run(program, NATS_URL=up.url).splitlines()
    finally:
        up.stop()
    assert printed[0] == "1 SessionStarted"
    assert printed[-1:] == PRINTS.findall(program)


def test_the_node_example_is_the_file_in_examples() -> None:
    (program,) = re.findall(r"```js\n(.*?)```", README, re.DOTALL)
    first, _, rest = (ROOT / "examples" / "client.mjs").read_text(encoding="utf-8").partition("\n")
    assert first.startswith("//")
    assert rest == program


def test_every_command_is_in_the_table() -> None:
    section = README[README.index("## The command line") :]
    for command in COMMANDS:
        assert re.search(rf"`(stageflow )?{command}\b", section), command


def test_every_file_it_links_to_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
