"""Every port of the engine in memory, and the time they share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from stageflow_es.bus.memory.checkpoints import MemoryCheckpoints
from stageflow_es.bus.memory.command_log import MemoryCommandLog
from stageflow_es.bus.memory.definitions import MemoryDefinitions
from stageflow_es.bus.memory.event_log import MemoryEventLog
from stageflow_es.bus.memory.leases import MemoryLeases
from stageflow_es.bus.memory.snapshots import MemorySnapshots
from stageflow_es.bus.memory.timers import MemoryTimers
from stageflow_es.bus.partition import partition_of
from stageflow_es.engine.ports import CommandKind, Refused
from stageflow_es.engine.vitals import Commits

_LARGEST_COMMAND = 1024 * 1024 - 64 * 1024


class MemoryBus:
    """`Bus` in memory. `lease_ttl`: seconds. `rejections` is what was rejected, by command sequence."""

    def __init__(
        self, partitions: int = 8, *, clock: Callable[[], datetime] | None = None, lease_ttl: float = 4
    ) -> None:
        self.partitions = partitions
        self.events = MemoryEventLog()
        self.commands = MemoryCommandLog(self)
        self.timers = MemoryTimers(self)
        self.checkpoints = MemoryCheckpoints()
        self.leases = MemoryLeases(self, lease_ttl)
        self.definitions = MemoryDefinitions()
        self.snapshots = MemorySnapshots()
        self._clock = clock
        self._now = datetime(2000, 1, 1, tzinfo=UTC)

    def partition(self, session: str) -> int:
        return partition_of(session, self.partitions)

    def now(self) -> datetime:
        if self._clock is not None:
            self._now = max(self._now, self._clock())
        return self._now

    def advance(self, now: datetime) -> None:
        """It is `now`, if it was not later already: fire what is due."""
        self._now = max(self._now, now)
        self.timers.fire_due()

    def next_due(self) -> datetime | None:
        """When the next timer is due; None: none is set."""
        return self.timers.next_due()

    async def publish(self, kind: CommandKind, session: str, data: bytes, id: str | None = None) -> int:
        if len(data) > _LARGEST_COMMAND:
            raise Refused(f"session {session}: a command of {len(data):,} bytes; at most {_LARGEST_COMMAND:,}")
        return self.commands.accept(kind, session, data, id)

    def commits(self) -> Commits:
        """Everything is durable at once here: there are no rounds to tell of."""
        return Commits()

    async def close(self) -> None:
        """Nothing to let go of."""
