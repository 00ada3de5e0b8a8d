"""The engine's wall clock. The core gets its times from here, on commands; tests and simulations bring their own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

_WITHOUT_OFFSET = len("2026-01-01T00:00:00.000000")


class Clock(Protocol):
    def now(self) -> datetime:
        """The present moment, aware, UTC."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def rfc3339(moment: datetime) -> str:
    """An aware UTC moment as events have it: microseconds, `Z`."""
    return moment.isoformat(timespec="microseconds")[:_WITHOUT_OFFSET] + "Z"
