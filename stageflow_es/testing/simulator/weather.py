"""Which faults happen, and how often: drawn from the seed, a different mixture for every run, and counted.

A run has some kinds of fault and not others (all of them at once hide each other), some runs have many, some few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from random import Random

FAULTS: dict[str, str] = {
    "crash_before_request": "a process dies before its request leaves",
    "crash_after_request": "a process dies with a request on its way, which may or may not be executed",
    "crash_after_answer": "a process dies some callbacks after an answer came",
    "crash_any_time": "a process dies between two callbacks",
    "restart_same_name": "a dead process comes back under its name",
    "restart_other_name": "a dead process is replaced by one of another name",
    "second_engine": "an engine joins the others",
    "hand_over": "an engine stops in order, and another takes its place",
    "freeze": "a process stands still for less than its lease",
    "zombie": "a process stands still past its lease, then goes on",
    "lost_request": "a request never arrives and is not answered",
    "late_request": "a request is not answered, and executed much later",
    "lost_answer": "a request is executed and the answer lost",
    "repeated_request": "a harmless request arrives twice",
    "slow_bus": "an answer takes seconds",
    "outage": "a process cannot reach the bus for a while",
    "lease_expired": "a lease ends although its holder renewed it",
    "stale_members": "an old list of the engines is read",
    "stale_checkpoint": "an old checkpoint is read",
    "lost_tail": "messages are there, and the reader learns of them late",
    "timer_late": "a timer fires late",
    "timer_early": "a timer fires before its time, by the clock of who set it",
    "timer_twice": "a timer fires again",
    "clock_skew": "an engine's wall clock is seconds wrong",
    "clock_drift": "an engine's monotonic clock runs too fast or too slow",
    "small_limits": "an engine has room for almost nothing",
    "duplicate_command": "a client sends a command again",
    "late_command": "a command arrives long after it was sent, behind later ones",
    "lost_command_answer": "a client is not told that its command was accepted, and sends it again",
    "slow_step": "a step takes seconds",
    "stage_cancels_itself": "a stage raises CancelledError from inside",
    "stage_ignores_cancel": "a stage goes on after it was cancelled",
}
"""Every kind of fault, by name."""


class Weather:
    """The faults of one run. `allowed` may narrow them down; `over` ends them all. `counts`: how often each happened."""

    def __init__(self, random: Random, allowed: Collection[str] | None = None) -> None:
        if unknown := set(allowed or ()) - FAULTS.keys():
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
        likely = random.choice([0.25, 0.5, 0.8])
        drawn = {kind: random.random() < likely for kind in FAULTS}
        wanted = FAULTS if allowed is None else allowed
        self._on = {kind: kind in wanted and (drawn[kind] or allowed is not None) for kind in FAULTS}
        self._storm = random.choice([0.3, 1.0, 1.0, 3.0])
        self._random = random
        self.over = False
        self.counts: Counter[str] = Counter()

    def has(self, kind: str) -> bool:
        """Whether this run has a kind of fault at all."""
        return self._on[kind] and not self.over

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether the fault happens now, and note it."""
        if not self.has(kind) or self._random.random() >= chance * self._storm:
            return False
        self.counts[kind] += 1
        return True

    def happened(self, kind: str) -> None:
        self.counts[kind] += 1
