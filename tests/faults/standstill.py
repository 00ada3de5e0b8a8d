"""Runs and steps in whose beginning their engine stood still.

An engine looks whether its lease holds, and then begins. Frozen in between for longer than the lease, it begins what
another one has done meanwhile, and nothing in it can know; the stage's idempotency key is for that. It stands still in
one place only, so this is one run or step for each time. Its watchdog names the run it stood still in, which it does
not when it begins something after it has come to itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

_BEGUN = re.compile(r"stage \S+ at node (\S+) of session (\S+)")
AFTER = 500_000_000
"""Nanoseconds between the end of a standstill as the watchdog notices it and what begins next."""


class Standstill(msgspec.Struct, frozen=True):
    """In which run, and from when to when, nanoseconds since 1970."""

    session: str
    node: str
    began: int
    ended: int

    def explains(self, key: str, at: int, end: int) -> bool:
        """Whether a run with this idempotency key, or a step of it, seen to begin at `at`, may have been on its way
        since before its end was stored by another engine, at `end`."""
        session, _, node, _ = key.split(":")
        return (session, node) == (self.session, self.node) and self.began < end and abs(at - self.ended) < AFTER


def standstills(logs: Iterable[Path]) -> list[Standstill]:
    """What the watchdogs of engines say in their logs."""
    lines = (line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines())
    told: list[dict[str, Any]] = [msgspec.json.decode(line) for line in lines if '"event_loop_blocked"' in line]
    found = []
    for one in told:
        if begun := _BEGUN.fullmatch(one["by"]):
            ended = int(datetime.fromisoformat(one["timestamp"]).timestamp() * 1e9)
            found.append(Standstill(begun[2], begun[1], ended - int(one["seconds"] * 1e9), ended))
    return found
