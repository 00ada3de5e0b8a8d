"""`make demo` shows what it promises, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DEMO = Path(__file__).parents[2] / "examples" / "demo.py"


def test_the_demo_shows_a_session_from_start_to_snapshot(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DEMO)],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for expected in (
        "parallel_started",
        "map_started",
        "subpipeline_started",
        "condition_evaluated",
        "waiting_for_input",
        "user_input",
        '"status": "shipped"',
        '"order.total": 89300',
        "The hash chain is unbroken",
        "order-117",
        "completed",
    ):
        assert expected in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == [], "the demo left files behind"
