"""Timers in memory, and the log of their fires."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from stageflow_es.bus.memory.partitioned_log import MemoryReader, PartitionedLog
from stageflow_es.engine.ports import Fire

if TYPE_CHECKING:
    from stageflow_es.bus.memory.bus import MemoryBus

_RECHECK = 1.0


class MemoryTimers:
    """`Timers` in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._log = PartitionedLog()
        self._set: dict[tuple[str, str], tuple[datetime, int]] = {}

    async def created(self) -> str:
        return "memory"

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        self._set[session, timer] = due, n
        self.fire_due()

    async def cancel(self, session: str, timer: str) -> None:
        self._set.pop((session, timer), None)

    async def open(self, partition: int, after: int) -> MemoryReader:
        return MemoryReader(self._log, partition, after, self._refresh)

    async def purge(self, partition: int, upto: int) -> None:
        self._log.purge(partition, upto)

    def pending(self, session: str) -> bool:
        """Whether a timer of the session is set and has not fired."""
        return any(name == session for name, _ in self._set)

    def next_due(self) -> datetime | None:
        return min((due for due, _ in self._set.values()), default=None)

    def fire_due(self) -> None:
        """Fire what is due, the earliest first."""
        now = self._bus.now()
        due = sorted((at, session, timer) for (session, timer), (at, _) in self._set.items() if at <= now)
        for _, session, timer in due:
            _, n = self._set.pop((session, timer))
            self._log.add(self._bus.partition(session), _fire(session, timer, n))

    def _refresh(self) -> float:
        """Fire what is due; seconds after which to look again."""
        self.fire_due()
        due = self.next_due()
        if due is None:
            return float("inf")
        return min(max((due - self._bus.now()).total_seconds(), 0.001), _RECHECK)


def _fire(session: str, timer: str, n: int) -> Callable[[int], Fire]:
    return lambda seq: Fire(seq=seq, session=session, timer=timer, n=n)
