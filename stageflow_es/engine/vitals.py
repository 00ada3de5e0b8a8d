"""What an engine tells of itself when it says that it is alive, for operators to read: `stageflow engines`, and as
metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from datetime import datetime
from itertools import accumulate

import msgspec

LISTED = 20
"""Stages it has not got that an engine tells of, those that most sessions want."""
REMEMBERED = 1000
"""Rounds whose time is kept, of those since the last look."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds by which rounds are counted that took no longer."""


class Ever(msgspec.Struct, frozen=True, kw_only=True):
    """What an event log made durable since its process began: numbers that only grow. `seconds`: what all rounds took;
    `within`: how many rounds took at most so many seconds, by that number as a text."""

    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    within: dict[str, int] = {}


class Commits(msgspec.Struct, frozen=True, kw_only=True):
    """What an event log made durable since it was looked at last: `events` in `rounds` of group commit within
    `seconds`; events of the `largest` round; the median and the 99th percentile of a round's time, in milliseconds.
    `ever`: what it made durable at all, None where that is not counted."""

    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    largest: int = 0
    p50: float = 0.0
    p99: float = 0.0
    ever: Ever | None = None


class Vitals(msgspec.Struct, frozen=True, kw_only=True):
    """An engine at one moment: partitions it holds, sessions it has in memory, those whose stages run, and those that
    wait for a place to run; commands and fires of timers it has read and not dealt with yet; what it made durable; and
    stages it has not got, each with the number of sessions that stand still for it. `release`: the version of this
    program that it runs; empty for one that does not say. `history_version`: the latest histories it can fold. `clock`:
    what its clock showed; None for one that does not say."""

    partitions: int = 0
    sessions: int = 0
    running: int = 0
    queued: int = 0
    unsettled: int = 0
    commits: Commits = Commits()
    lacking: dict[str, int] = {}
    release: str = ""
    history_version: int = 1
    clock: datetime | None = None


class Tally:
    """Counts rounds of group commit. `time`: seconds on any clock that does not go back."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._since = time()
        self._events = self._rounds = self._largest = 0
        self._took: deque[float] = deque(maxlen=REMEMBERED)
        self._ever_events, self._ever_seconds = 0, 0.0
        self._ever_rounds = [0] * (len(BOUNDS) + 1)

    def round(self, events: int, began: float) -> None:
        """So many events became durable, in a round that began then."""
        self._events += events
        self._rounds += 1
        self._largest = max(self._largest, events)
        took = self._time() - began
        self._took.append(took)
        self._ever_events += events
        self._ever_seconds += took
        self._ever_rounds[bisect_left(BOUNDS, took)] += 1

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
            ever=self._ever(),
        )
        self._since = now
        self._events = self._rounds = self._largest = 0
        self._took.clear()
        return commits

    def _ever(self) -> Ever:
        *within, rounds = accumulate(self._ever_rounds)
        bounds = map(str, BOUNDS)
        return Ever(
            events=self._ever_events,
            rounds=rounds,
            seconds=round(self._ever_seconds, 6),
            within=dict(zip(bounds, within, strict=True)),
        )


def _milliseconds(took: list[float], share: float) -> float:
    return round(took[int(share * (len(took) - 1))] * 1000, 3) if took else 0.0
