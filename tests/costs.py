"""What a stranger's rule or template costs the processor, whatever else the test process has in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

CPU_SECONDS = 2.0
"""Of the processor, forty times what is promised: the limits on steps and bytes hold, this only finds them missing.
CPython gives the memory of frames back in chunks; a loop that happens to call across the end of one takes 20 times as
long, and where that is depends on who calls."""


@contextmanager
def ends_soon() -> Iterator[None]:
    """What is inside takes no more than `CPU_SECONDS`. Collections of garbage wait: one of the whole test process's
    memory takes as long."""
    collects = gc.isenabled()
    gc.disable()
    before = time.thread_time()
    try:
        yield
        took = time.thread_time() - before
    finally:
        if collects:
            gc.enable()
    assert took < CPU_SECONDS, f"{took:.3f} s"
