"""What happened in a run, line by line: a hash of all of it, and the last lines to show."""

from __future__ import annotations

from collections import deque
from hashlib import sha256

SHOWN = 80


class Trace:
    """`whole`: keep every line, not only the last."""

    def __init__(self, *, whole: bool = False) -> None:
        self.lines: deque[str] = deque(maxlen=None if whole else SHOWN)
        self._hash = sha256()

    def add(self, now: int, who: str, what: str) -> None:
        """One line: `now` in microseconds."""
        line = f"{now / 1_000_000:11.6f} {who:<10} {what}"
        self._hash.update(line.encode())
        self.lines.append(line)

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()
