"""Event loops that keep a time of their own, as those of tests do: what sessions in this process ask of such a loop,
and what they tell it, so that its clock does not run ahead of what is still at work.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stageflow_es.engine.local import Session


class OwnTime:
    """What an event loop that keeps its own time is besides. `outside`: who is at work outside of it, for whom its
    clock has to wait; `sessions`: those that run on it."""

    def __init__(self) -> None:
        self.outside: set[object] = set()
        self.sessions: set[Session] = set()

    def wall(self) -> datetime:
        """The present moment, aware, UTC."""
        raise NotImplementedError


def own_time(loop: asyncio.AbstractEventLoop | None) -> OwnTime | None:
    """The time a loop keeps; None: it goes by the machine's."""
    return loop if isinstance(loop, OwnTime) else None


class LoopClock:
    """The clock of the event loop that runs."""

    def now(self) -> datetime:
        loop = asyncio._get_running_loop()
        return loop.wall() if isinstance(loop, OwnTime) else datetime.now(UTC)
