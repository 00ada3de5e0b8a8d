"""A PostgreSQL of our own, with its own defaults, from the programs that are installed (`apt install postgresql`)."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

USER = "postgres"


def programs() -> Path | None:
    """The directory with its programs; None: it is not installed."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """A server on that directory, as long as the block; its URL. It does not run as root, so root starts it as the
    user its package makes.
    """
    place = programs()
    assert place is not None
    data = directory / "postgres"
    data.mkdir()
    before: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(data, USER)
        directory.chmod(0o755)
        before = ["runuser", "-u", pwd.getpwnam(USER).pw_name, "--"]
    subprocess.run(
        [*before, str(place / "initdb"), "-D", str(data), "-A", "trust", "-U", USER, "-E", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd=data,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [*before, str(place / "postgres"), "-D", str(data), "-k", str(data), "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=data,
    )  # fmt: skip
    try:
        _wait(port)
        yield f"postgresql://{USER}@127.0.0.1:{port}/bench"
    finally:
        subprocess.run(
            [*before, str(place / "pg_ctl"), "stop", "-D", str(data), "-m", "immediate"],
            check=False, stdout=subprocess.DEVNULL, cwd=data,
        )  # fmt: skip
        server.wait(30)


def _wait(port: int, within: float = 30.0) -> None:
    until = time.monotonic() + within
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError("PostgreSQL does not answer")
