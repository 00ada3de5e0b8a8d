"""The same work on each engine, ours first, in one run: `python -m benchmarks.peers [NAME...]`.

The figures are in benchmarks/results/peers.json (QUICK=1: peers-quick.json). With names, only those are measured
anew; `ours` is one of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import records
from benchmarks.__main__ import measured
from benchmarks.figures import Figure, rate, table
from benchmarks.peers import postgres
from benchmarks.peers.environment import ENGINES, Engine, Environment, install
from benchmarks.program import end_in_order
from benchmarks.records import OURS, RESULTS, Record
from benchmarks.rig import ROOT
from benchmarks.scale import QUICK

SELF = "ours"


class Gone(Exception):
    """A program ended without its values."""


@contextmanager
def _started(engine: Engine, at: Environment, task: str, directory: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """Our program on an engine, in a session of its own: Ctrl-C is for us."""
    environment = {**os.environ, **at.variables, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    if url:
        environment["DBOS_SYSTEM_DATABASE_URL"] = url
    command = [str(at.python), "-m", f"benchmarks.peers.{engine.program}", task, str(directory)]
    with (directory / f"{task}.log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment, cwd=ROOT, start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _values(process: subprocess.Popen[str], log: Path) -> dict[str, float]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            values: dict[str, float] = json.loads(line)
            return values
    raise Gone(log.read_text(errors="replace")[-2000:])


@contextmanager
def _directory(engine: Engine) -> Iterator[tuple[Path, str]]:
    """Room for one task: a directory, and the URL of a PostgreSQL where the engine wants one. Servers the task has
    left (see their `.pid` files) end with it.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as path:
        try:
            if engine.postgres:
                with postgres.running(Path(path)) as url:
                    yield Path(path), url
            else:
                yield Path(path), ""
        finally:
            for file in Path(path).glob("*.pid"):
                with suppress(ProcessLookupError):
                    os.kill(int(file.read_text()), signal.SIGKILL)


def _task(engine: Engine, at: Environment, task: str) -> dict[str, float]:
    with _directory(engine) as (directory, url), _started(engine, at, task, directory, url) as process:
        return _values(process, directory / f"{task}.log")


def _recovery(engine: Engine, at: Environment) -> float:
    """Seconds from kill -9 in the middle of 200 sessions until a new process sees the last of them end."""
    with _directory(engine) as (directory, url):
        with _started(engine, at, "crash", directory, url) as process:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "half":
                raise Gone((directory / "crash.log").read_text(errors="replace")[-2000:])
            services = directory / "services.pid"
            if services.exists():
                os.kill(int(services.read_text()), signal.SIGKILL)
            process.kill()
            began = time.perf_counter()
        with _started(engine, at, "recover", directory, url) as process:
            _values(process, directory / "recover.log")
            return time.perf_counter() - began


def _measure(engine: Engine) -> Record:
    at = install(engine)
    record, began = Record.before(engine.title), time.perf_counter()
    print(f"{engine.title} ...", file=sys.stderr, flush=True)
    figures = [
        rate("W1, 100 at once", _task(engine, at, "w1")["steps"], "steps/s"),
        Figure("W1, one session alone, p50", _task(engine, at, "alone")["p50"], "ms"),
        Figure("W2, input to completion, p50", _task(engine, at, "w2")["p50"], "ms"),
        Figure("parked, memory of the engine each", _task(engine, at, "parked")["bytes"], "B"),
    ]
    if engine.durable:
        figures.append(Figure("recovery, from kill -9 to all done", _recovery(engine, at), "s"))
    return record.with_figures(figures, time.perf_counter() - began)


def _ours() -> Record:
    parts = [measured(name) for name in ("w1", "w2", "parked", "recovery")]
    figures = [figure for part in parts for figure in part.figures]
    return parts[0].with_figures(figures, sum(part.seconds for part in parts), benchmark=OURS)


def _chosen(names: list[str]) -> list[str]:
    wanted = names or [SELF, *ENGINES]
    if postgres.programs() is None and "dbos-postgres" in wanted:
        print("PostgreSQL is not installed: DBOS on it is left out", file=sys.stderr)
        wanted = [name for name in wanted if name != "dbos-postgres"]
    return wanted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join([SELF, *ENGINES])}")
    names = parser.parse_args().names
    if unknown := set(names) - {SELF, *ENGINES}:
        parser.error(f"there is no engine {', '.join(sorted(unknown))}")
    end_in_order()
    path = RESULTS / ("peers-quick.json" if QUICK else "peers.json")
    fresh = records.begin("make bench-peers")
    before = records.read(path) if names else None
    fresh = fresh.with_new(before.records) if before else fresh
    failed = 0
    for name in _chosen(names):
        try:
            fresh = fresh.with_new([_ours() if name == SELF else _measure(ENGINES[name])])
        except (Gone, subprocess.CalledProcessError) as problem:
            print(f"{name} was not measured: {problem}", file=sys.stderr)
            failed += 1
        records.write(path, fresh)
    for record in fresh.records:
        print(f"\n{record.benchmark}  {record.at}  {record.alone}\n{table(record.figures)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
