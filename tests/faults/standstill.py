"""Runs and steps in whose beginning their engine stood still.

An engine looks whether its lease holds, and then begins. Frozen in between for longer than the lease, it begins what
another one has done meanwhile, and nothing in it can know; the stage's idempotency key is for that. It stands still in
one place only, so this is one run or step for each time.

Who freezes an engine knows when, and what it begins first when it goes on is what it was about to begin. When the
machine itself stood still, the engine's watchdog names the run it was in; that it does not when the loop has turned
before it could look.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from tests.faults.processes import Process
from tests.faults.trace import Trace

_BEGUN = re.compile(r"stage \S+ at node (\S+) of session (\S+)")
AFTER = 500_000_000
"""Nanoseconds between the end of a standstill as the watchdog notices it and what begins next."""


class Standstill(Protocol):
    def explains(self, line: Trace, end: int) -> bool:
        """Whether what the line says was begun may have been on its way since before its end was stored by another
        engine, at `end`."""


class Told(msgspec.Struct, frozen=True):
    """By a watchdog: in which run, and from when to when, nanoseconds since 1970."""

    session: str
    node: str
    began: int
    ended: int

    def explains(self, line: Trace, end: int) -> bool:
        session, _, node, _ = line.key.split(":")
        return (session, node) == (self.session, self.node) and self.began < end and abs(line.at - self.ended) < AFTER


class Frozen(msgspec.Struct, frozen=True):
    """From outside: which process, since when, and when it first began something afterwards, nanoseconds since 1970."""

    pid: int
    began: int
    first: int

    def explains(self, line: Trace, end: int) -> bool:
        return (line.pid, line.at) == (self.pid, self.first) and self.began < end


def standstills(processes: Sequence[Process], trace: Iterable[Trace]) -> list[Standstill]:
    """Of engines: what those say who froze them, and what their watchdogs say in their logs."""
    found: list[Standstill] = []
    lines = list(trace)
    for process in processes:
        for pid, began, ended in process.frozen:
            later = [line.at for line in lines if line.pid == pid and line.at >= ended]
            found += [Frozen(pid, began, min(later))] if later else []
    logs = [process.log for process in processes if process.log.exists()]
    return found + [one for log in logs for one in told(log.read_text(errors="replace"))]


def told(log: str) -> list[Told]:
    """What a watchdog says in an engine's log."""
    reports: list[dict[str, Any]] = [msgspec.json.decode(it) for it in log.splitlines() if '"event_loop_blocked"' in it]
    found = []
    for one in reports:
        if begun := _BEGUN.fullmatch(one["by"]):
            ended = int(datetime.fromisoformat(one["timestamp"]).timestamp() * 1e9)
            found.append(Told(begun[2], begun[1], ended - int(one["seconds"] * 1e9), ended))
    return found
