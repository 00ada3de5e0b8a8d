"""A real browser, without a window: Debian's chromium, with a profile of its own and nothing that calls home."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import msgspec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = "there is no chromium here to look at the page with: apt-get install chromium"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=3000",
]


class Seen(msgspec.Struct, frozen=True):
    """What became of a page: its DOM as HTML, and what it said on the console."""

    dom: str
    console: list[str]


def look(address: str, profile: Path, *flags: str) -> Seen:
    """Open a page, let its scripts run, and take its DOM."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return Seen(done.stdout, [line for line in done.stderr.splitlines() if re.search(r"CONSOLE[:(]", line)])
