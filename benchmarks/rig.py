"""A real server, one engine and one projector, each a process of its own, as somebody would run them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from benchmarks.load import Load
from stageflow_es.bus.jetstream import EmbeddedServer

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """What a process took so far: processor seconds, and its most memory in MiB."""

    seconds: float
    peak: float
    memory: float


def usage(pid: int) -> Usage:
    """Of a running process, as the kernel has it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    kib = {name: int(status[name].split()[0]) for name in ("VmHWM", "VmRSS")}
    return Usage((int(fields[11]) + int(fields[12])) / TICKS, kib["VmHWM"] / 1024, kib["VmRSS"] / 1024)


class Rig:
    """Start it with `async with`. `projector`: whether one runs. Everything ends with the block."""

    def __init__(self, *, projector: bool = True) -> None:
        self._projector = projector
        self._directory = tempfile.TemporaryDirectory(prefix="bench-")
        self.path = Path(self._directory.name)
        self.server = EmbeddedServer(self.path / "nats")
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.load: Load

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.server.start)
        try:
            await self.start("engine")
            self.load = await Load.open(self.server.url)
            await self.load.warm()
            if self._projector:
                await self.start("projector")
        except BaseException:
            for log in self.path.glob("*.log"):
                print(log.read_text(), file=sys.stderr)
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if hasattr(self, "load"):
            await self.load.close()
        for name in list(self.processes):
            await self.end(name, signal.SIGTERM)
        await asyncio.to_thread(self.server.stop)
        self._directory.cleanup()

    @property
    def projection(self) -> Path:
        """The projection's file."""
        return self.path / "projection.db"

    async def start(self, name: str) -> None:
        """Run one of our services. It is not waited for."""
        environment = {
            **os.environ,
            "NATS_URL": self.server.url,
            "STAGEFLOW_STAGES": str(ROOT / "benchmarks" / "stages.py"),
            "STAGEFLOW_ENGINE": "bench",
            "STAGEFLOW_DB": str(self.projection),
            "PYTHONPATH": str(ROOT),
        }
        log = (self.path / f"{name}.log").open("ab")
        with log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"services.{name}", env=environment, stderr=log, cwd=self.path
            )

    async def end(self, name: str, number: int) -> None:
        """Send a signal and wait until the process is gone."""
        process = self.processes.pop(name)
        if process.returncode is None:
            process.send_signal(number)
        await process.wait()

    def usage(self) -> dict[str, Usage]:
        """What each process took so far."""
        assert self.server.pid is not None
        pids = {"server": self.server.pid, **{name: process.pid for name, process in self.processes.items()}}
        return {**{name: usage(pid) for name, pid in pids.items()}, "load": usage(os.getpid())}
