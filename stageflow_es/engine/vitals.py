"""What an engine tells of itself when it says that it is alive, for operators to read: `stageflow engines`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

LISTED = 20
"""Stages it has not got that an engine tells of, those that most sessions want."""
REMEMBERED = 1000
"""Rounds whose time is kept, of those since the last look."""


class Commits(msgspec.Struct, frozen=True, kw_only=True):
    """What an event log made durable since it was looked at last: `events` in `rounds` of group commit within
    `seconds`; events of the `largest` round; the median and the 99th percentile of a round's time, in milliseconds."""

    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    largest: int = 0
    p50: float = 0.0
    p99: float = 0.0


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """An engine at one moment: partitions it holds, sessions it has in memory, those whose stages run, and those that
    wait for a place to run; what it made durable lately; and stages it has not got, each with the number of sessions
    that stand still for it."""

    partitions: int = 0
    sessions: int = 0
    running: int = 0
    queued: int = 0
    commits: Commits = Commits()
    lacking: dict[str, int] = {}


class Tally:
    """Counts rounds of group commit. `time`: seconds on any clock that does not go back."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._since = time()
        self._events = self._rounds = self._largest = 0
        self._took: deque[float] = deque(maxlen=REMEMBERED)

    def round(self, events: int, began: float) -> None:
        """So many events became durable, in a round that began then."""
        self._events += events
        self._rounds += 1
        self._largest = max(self._largest, events)
        self._took.append(self._time() - began)

    def take(self) -> Commits:
        """What was counted since this was called last."""
        now = self._time()
        took = sorted(self._took)
        commits = Commits(
            events=self._events,
            rounds=self._rounds,
            seconds=round(now - self._since, 3),
            largest=self._largest,
            p50=_milliseconds(took, 0.5),
            p99=_milliseconds(took, 0.99),
        )
        self._since = now
        self._events = self._rounds = self._largest = 0
        self._took.clear()
        return commits


def _milliseconds(took: list[float], share: float) -> float:
    return round(took[int(share * (len(took) - 1))] * 1000, 3) if took else 0.0
