"""The trace that stages leave outside of their sessions, as `stages.note` writes it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Trace(msgspec.Struct, frozen=True):
    """A line: what (`run` or `step`), the run's idempotency key, the step's name, when, which process."""

    what: str
    key: str
    detail: str
    at: int
    pid: int


def read_trace(path: Path) -> list[Trace]:
    lines = (line.rsplit(" ", 4) for line in path.read_text().splitlines())
    found = []
    for head, key, detail, at, pid in lines:
        found.append(Trace(head, key, detail, int(at), int(pid)))
    return found
