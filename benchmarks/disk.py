"""What the disk does by itself: records of an event's size appended to one file, each synced before the next."""

from __future__ import annotations

import os
import tempfile
import time

RECORD = b"x" * 300


def syncs(seconds: float = 1.0) -> float:
    """Syncs a second, where the benchmarks' servers keep their data."""
    with tempfile.TemporaryFile(prefix="bench-") as file:
        done = 0
        began = time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds:
            os.write(file.fileno(), RECORD)
            os.fsync(file.fileno())
            done += 1
    return done / taken
