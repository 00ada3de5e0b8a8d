"""The storm in short: a few seconds of faults from known seeds. `make faults` is the long one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from pathlib import Path

import pytest

from tests.faults.processes import ROOT


async def storm(folder: Path, seed: int, minutes: float) -> Process:
    given = {"SERVERS": "1", "SEED": str(seed), "MINUTES": str(minutes), "PACE": "0.3", "TMPDIR": str(folder)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults", cwd=ROOT, env={**os.environ, **given}, stdout=PIPE, stderr=STDOUT
    )


def left_running(folder: Path) -> list[str]:
    """Processes whose command line or environment names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            said = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in said:
            found.append(said.replace(b"\0", b" ").decode(errors="replace")[:200])
    return found


@pytest.mark.parametrize("seed", [2, 3])
async def test_a_short_storm_loses_nothing_and_doubles_nothing(seed: int, tmp_path: Path) -> None:
    process = await storm(tmp_path, seed, 0.08)
    said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()
    kills = re.search(rb"kill -9: (\d+)", said)
    assert kills is not None
    assert int(kills[1]) > 2
    assert left_running(tmp_path) == []


def has_begun(folder: Path) -> bool:
    """Whether a stage has run."""
    return any(trace.stat().st_size for trace in folder.glob("*/trace"))


async def test_an_interrupted_storm_leaves_nothing_running(tmp_path: Path) -> None:
    process = await storm(tmp_path, 1, 5)
    async with asyncio.timeout(30):
        while not has_begun(tmp_path):
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130, said.decode()
    assert left_running(tmp_path) == []
