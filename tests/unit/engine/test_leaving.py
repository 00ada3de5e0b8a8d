"""How a process ends that ran stages."""

from __future__ import annotations

import subprocess
import sys

LEAVES_A_TASK = """
import asyncio, atexit, sys
from contextlib import suppress
from stageflow_es.engine import leaving
from stageflow_es.log import log_warnings

log_warnings()
leaving.PATIENCE = 0.01
atexit.register(print, "what a stage's module registered")

async def goes_on():
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

async def main():
    global task
    task = asyncio.create_task(goes_on())
    await asyncio.sleep(0)
    return 5

sys.exit(leaving.run_stages(main(), fault=3))
"""


def test_what_is_registered_for_the_end_runs_though_a_task_was_left_behind() -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVES_A_TASK], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 5, ended.stderr
    assert ended.stdout == "what a stage's module registered\n"
    assert "left_behind" in ended.stderr
    assert "Traceback" not in ended.stderr
