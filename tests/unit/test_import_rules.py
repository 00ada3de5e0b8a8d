"""Who may import whom is written down in pyproject.toml; this holds the code to it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLOCKS = re.compile(r"\.(now|utcnow|today)\(")


def test_every_room_imports_only_what_it_may() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    done = subprocess.run([*command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ["pipeline", "session"])
def test_the_core_reads_no_clock(room: str) -> None:
    """`datetime` may be imported for arithmetic, so what imports cannot show is looked for in the text."""
    files = list((ROOT / "stageflow_es" / room).rglob("*.py"))
    assert files
    assert [file.name for file in files if CLOCKS.search(file.read_text())] == []
