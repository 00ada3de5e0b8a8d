"""Many seeds, on all cores, until the first that breaks something; and what they came to together."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from stageflow_es.testing.simulator.report import Report
from stageflow_es.testing.simulator.weather import FAULTS

AT_ONCE = 20
"""Seeds a worker takes at a time."""

Simulate = Callable[[int], Report]


class Summary:
    """What many runs came to. `faults`, `outcomes` and `event_types` add up those of the reports; `broken` are the
    reports of runs in which something did not hold."""

    def __init__(self) -> None:
        self.runs = self.sessions = self.events = self.commands = 0
        self.virtual = 0.0
        self.faults: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.event_types: Counter[str] = Counter()
        self.broken: list[Report] = []

    def add(self, report: Report) -> None:
        self.runs += 1
        self.sessions += report.sessions
        self.events += report.events
        self.commands += report.commands
        self.virtual += report.seconds
        self.faults.update(report.faults)
        self.outcomes.update(report.outcomes)
        self.event_types.update(report.event_types)
        if not report.ok:
            self.broken.append(report)

    @property
    def missing(self) -> list[str]:
        """The kinds of fault that never happened."""
        return [kind for kind in FAULTS if not self.faults[kind]]

    def __str__(self) -> str:
        lines = [
            f"{self.runs:,} runs: {self.sessions:,} sessions, {self.events:,} events, {self.commands:,} commands, "
            f"{self.virtual / 3600:,.1f} hours of virtual time",
            "sessions: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.outcomes.items())),
            "faults: " + ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.faults.items())),
        ]
        return "\n".join([*lines, *(f"never happened: {kind}" for kind in self.missing)])


def simulate_many(simulate: Simulate, seeds: Sequence[int], *, jobs: int | None = None) -> Summary:
    """Run every seed, on `jobs` processes (None: as many as there are cores), up to the first that breaks something.

    `simulate` must be importable by name, for the other processes.
    """
    summary = Summary()
    with _reports(simulate, seeds, jobs or os.cpu_count() or 1) as reports:
        for report in reports:
            summary.add(report)
            if not report.ok:
                break
    return summary


@contextmanager
def _reports(simulate: Simulate, seeds: Sequence[int], jobs: int) -> Iterator[Iterable[Report]]:
    if jobs == 1 or len(seeds) <= AT_ONCE:
        yield map(simulate, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield pool.imap(simulate, seeds, chunksize=AT_ONCE)


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and the real seconds it took."""
    began = time.perf_counter()
    return run(), time.perf_counter() - began
