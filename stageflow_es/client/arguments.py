"""What a caller gives that is no part of a command or a question: how many at a time, and how long. Said at once where
it is wrong, for it would come out as something else much later."""

from __future__ import annotations

from math import inf

from stageflow_es.session.runs import MAX_SECONDS


def places(at_once: int) -> int:
    """How many may be under way. Raises ValueError."""
    if not isinstance(at_once, int) or at_once < 1:
        raise ValueError(f"at_once says how many at a time: a whole number from 1 on, not {at_once!r}")
    return at_once


def seconds(name: str, given: float) -> float:
    """A time to wait; however long, it is a number. Raises ValueError."""
    if not isinstance(given, (int, float)) or not given <= inf:  # NaN is not
        raise ValueError(f"{name} is a number of seconds, not {given!r}")
    return min(given, MAX_SECONDS)
