"""What the processors do by themselves: a Python loop in as many processes as there are processors, all at once. What
else runs on the machine, were it another guest of the same host, shows here.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor

SOME = 1000
"""Turns between two looks at the clock."""


class _Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> None:
        self.count += number


def _turns(seconds: float) -> float:
    counter, kept = _Counter(), dict.fromkeys(range(SOME), 1)
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        for number in range(SOME):
            counter.add(kept[number])
    return counter.count / taken


def turns(seconds: float = 0.5) -> float:
    """Turns a second of one processor, each a call, a look into a dictionary and an addition: the mean of all."""
    processors = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(processors, multiprocessing.get_context("forkserver")) as pool:
        return sum(pool.map(_turns, [seconds] * processors)) / processors
