"""What came of a run."""

from __future__ import annotations

from typing import Any

import msgspec


class Broken(AssertionError):
    """Something that must hold did not. The message has the seed and the last steps."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run. `broken`: what did not hold, None: everything did. `hash`: of the whole trace, the same for the same
    seed; `lines`: its last lines; `seconds`: virtual time; `faults`: how often each kind happened; `outcomes`: how
    many sessions ended how (`waiting`: for an input that nobody sends); `event_types`: how many events of each type;
    `histories`: each session's events as stored."""

    seed: int
    broken: str | None
    hash: str
    lines: list[str]
    seconds: float
    sessions: int
    events: int
    commands: int
    steps: int
    faults: dict[str, int]
    outcomes: dict[str, int]
    event_types: dict[str, int]
    histories: dict[str, list[bytes]]

    @property
    def ok(self) -> bool:
        return self.broken is None

    def check(self) -> Report:
        """This report. Raises Broken if something did not hold."""
        if self.broken is not None:
            raise Broken(str(self))
        return self

    def history(self, session: str) -> list[dict[str, Any]]:
        """The events of a session, decoded."""
        return [msgspec.json.decode(data) for data in self.histories[session]]

    def __str__(self) -> str:
        count = f"{self.sessions} sessions, {self.events} events, {self.commands} commands, {self.seconds:.0f} s"
        if self.broken is None:
            return f"seed {self.seed}: everything held ({count}, trace {self.hash[:16]})"
        return "\n".join([*self.lines, "", f"seed {self.seed}: {self.broken} ({count}, trace {self.hash[:16]})"])
