"""A key-value bucket in memory, as leases and checkpoints need one."""

from __future__ import annotations

from typing import Any


class MemoryBucket:
    """Values by key, each with the revision that wrote it."""

    def __init__(self) -> None:
        self.values: dict[Any, tuple[int, Any]] = {}
        self._last = 0

    def put(self, key: Any, value: Any) -> int:
        self._last += 1
        self.values[key] = self._last, value
        return self._last
