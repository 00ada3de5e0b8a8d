"""`python -m tests.faults`: a storm of faults, as long as asked. SEED, MINUTES and PACE come from the environment,
and SERVERS=3 for a cluster of three servers, each with a copy of every stream, instead of one.

Ends with 0 if everything held, with 1 if anything did not; then its folder is kept, with all logs.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.storm import Report, Storm, percentiles


def main() -> int:
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    minutes = float(os.environ.get("MINUTES") or 5)
    pace = float(os.environ.get("PACE") or 0.7)
    servers = int(os.environ.get("SERVERS") or 1)
    folder = Path(tempfile.mkdtemp(prefix="stageflow-faults-"))
    print(f"SERVERS={servers} SEED={seed} MINUTES={minutes:g} in {folder}", flush=True)
    storm = Storm(folder, seed, minutes * 60, servers=servers, pace=pace)
    try:
        report = asyncio.run(_interruptible(storm))
    except asyncio.CancelledError:
        print("interrupted; everything it started has ended")
        return 130
    show(report)
    if report.wrong:
        print(f"kept: {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


async def _interruptible(storm: Storm) -> Report:
    task = asyncio.ensure_future(storm.run())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


def show(report: Report) -> None:
    """The timeline, the figures, and what is wrong."""
    print("timeline (seconds, target, fault, for how long):")
    for fault in report.timeline:
        print(f"  {fault.at:8.2f}  {fault.target:24} {fault.kind:14} {fault.seconds:g}")
    print("faults:")
    for kind, count in report.faults.items():
        print(f"  {count:5}  {kind}")
    print(f"kill -9: {report.kills}, faults in all: {len(report.timeline)}")
    print(f"sessions: {report.sessions} {report.scripts}")
    print(f"events: {report.events}, stage runs: {report.runs}")
    print(
        f"commands sent again: {report.repeated}, unanswered: {report.unanswered}, "
        f"answers lost: {report.answers_lost}, stages interrupted too often and retried: {report.interrupted}"
    )
    print(f"processes that could not begin, for want of a server or of the database: {report.refused_starts}")
    for kind, values in report.recovery.items():
        p50, p99 = percentiles(values)
        print(f"from the start of the {kind} to its next event: p50 {p50:.2f} s, p99 {p99:.2f} s ({len(values)})")
    print("longest without an event: " + ", ".join(f"{gap:g} s from {at:g} on" for at, gap in report.silences))
    print(f"all sessions had ended {report.quiet_after:.1f} s after the last fault")
    print("largest memory: " + ", ".join(f"{name} {size >> 20} MiB" for name, size in sorted(report.largest.items())))
    print(f"SEED={report.seed}: " + ("everything held" if not report.wrong else f"{len(report.wrong)} WRONG"))
    for wrong in report.wrong[:40]:
        print(f"  {wrong}")


if __name__ == "__main__":
    sys.exit(main())
