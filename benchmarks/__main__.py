"""All benchmarks, one after the other, each in a process of its own: `python -m benchmarks [NAME...]`.

At the end there is one table, and the figures are in benchmarks/results/bench.json. With names, only those are run
and the others' figures are kept. QUICK=1 in the environment: smaller ones, about two minutes in all, kept in
quick.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import msgspec

from benchmarks import records
from benchmarks.figures import Figure, table
from benchmarks.records import RESULTS, Record, Records
from benchmarks.rig import ROOT
from benchmarks.scale import QUICK

NAMES = (
    "references",
    "w1",
    "w2",
    "up",
    "client",
    "starts",
    "parked",
    "recovery",
    "long_session",
    "wide_map",
    "in_process",
    "projection",
)


def measured(name: str) -> Record:
    """What a benchmark gives, run as a process."""
    print(f"{name} ...", file=sys.stderr, flush=True)
    record, began = Record.before(name), time.perf_counter()
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    said = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return record.with_figures(msgspec.json.decode(said, type=list[Figure]), time.perf_counter() - began)


def _told(all_of_them: Records) -> str:
    machine, versions = all_of_them.machine, all_of_them.versions
    lines = [
        f"{machine.cores} cores, {machine.processor}, {machine.memory:,} MiB, {machine.system}; "
        + ", ".join(f"{name} {version}" for name, version in versions.items())
    ]
    for record in all_of_them.records:
        lines += ["", f"{record.benchmark}  {record.at}  {record.alone}", table(record.figures)]
    asked = [figure for record in all_of_them.records for figure in record.figures if figure.met is not None]
    missed = [figure.name for figure in asked if not figure.met]
    lines += ["", f"{len(asked) - len(missed)} of {len(asked)} goals met" + ("; missed:" if missed else "")]
    lines += [f"    {name}" for name in missed]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    chosen = parser.parse_args().names
    if unknown := set(chosen) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    path = RESULTS / ("quick.json" if QUICK else "bench.json")
    fresh = records.begin("make bench QUICK=1" if QUICK else "make bench")
    before = records.read(path) if chosen else None
    fresh = fresh.with_new(before.records) if before else fresh
    for name in chosen or NAMES:
        fresh = fresh.with_new([measured(name)])
        records.write(path, fresh)
    print(_told(fresh))
    return 0


if __name__ == "__main__":
    sys.exit(main())
