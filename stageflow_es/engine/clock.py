"""The engine's wall clock. The core gets its times from here, on commands; tests and simulations bring their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

import msgspec

_WHOLE = len("2026-01-01T00:00:00.000000Z")


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """An aware UTC moment as events have it: microseconds, `Z`."""
    text: str = msgspec.to_builtins(moment)
    if len(text) != _WHOLE:  # a moment on the second has no fraction there
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return text
