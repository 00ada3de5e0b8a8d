"""Which faults happen, and how often: drawn from the seed, a different mixture for every run, and counted.

A run has some kinds of fault and not others (all of them at once hide each other), some runs have many, some few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
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
    "lease_blind": "an engine's requests about leases are not answered for a while, all others are",
    "stale_members": "an old list of the engines is read",
    "stale_checkpoint": "an old checkpoint is read",
    "no_snapshot": "there is no snapshot of a session, though it is long",
    "stale_snapshot": "a snapshot is older than the session",
    "lying_snapshot": "a snapshot is torn, another session's, or not of the history it says",
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
    "twin": "an engine is started under the name of one that lives",
}
"""Every kind of fault, by name."""


class Weather:
    """The faults of one run. `allowed` may narrow them down, and say how many times as likely as usual each is; `over`
    ends them all. `counts`: how often each happened."""

    def __init__(self, random: Random, allowed: Collection[str] | Mapping[str, float] | None = None) -> None:
        if unknown := set(allowed or ()) - FAULTS.keys():
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
        self._random = random
        self._rates = self._draw() if allowed is None else self._given(allowed)
        self.over = False
        self.counts: Counter[str] = Counter()

    def _draw(self) -> dict[str, float]:
        likely = self._random.choice([0.25, 0.5, 0.8])
        storm = self._random.choice([0.3, 1.0, 1.0, 3.0])
        return {kind: storm for kind in FAULTS if self._random.random() < likely}

    def _given(self, allowed: Collection[str] | Mapping[str, float]) -> dict[str, float]:
        return dict(allowed) if isinstance(allowed, Mapping) else dict.fromkeys(allowed, 1.0)

    def strikes(self, kind: str, chance: float) -> bool:
        """Whether the fault happens now, and note it."""
        rate = self._rates.get(kind)
        if rate is None or self.over or self._random.random() >= chance * rate:
            return False
        self.counts[kind] += 1
        return True

    def happened(self, kind: str) -> None:
        self.counts[kind] += 1
