"""What a stranger's rule or template costs the processor, whatever else the test process has in memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

CPU_SECONDS = 0.25
"""Of the processor, five times what is promised, for slow machines: the limits on steps and bytes hold, this only finds
them missing."""


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
