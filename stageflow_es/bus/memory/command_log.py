"""The log of commands in memory, and what of them was rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stageflow_es.bus.memory.partitioned_log import MemoryReader, PartitionedLog
from stageflow_es.engine.ports import CommandKind, CommandMessage

if TYPE_CHECKING:
    from stageflow_es.bus.memory.bus import MemoryBus


class MemoryCommandLog:
    """`CommandLog` in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._log = PartitionedLog()
        self.rejections: dict[int, tuple[str, bytes]] = {}

    def accept(self, kind: CommandKind, session: str, data: bytes, id: str | None) -> int:
        at = self._bus.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._log.add(
            self._bus.partition(session),
            lambda seq: CommandMessage(seq=seq, session=session, kind=kind, data=data, id=id, at=at),
        )

    async def created(self) -> str:
        return "memory"

    async def open(self, partition: int, after: int) -> MemoryReader:
        return MemoryReader(self._log, partition, after, lambda: float("inf"))

    async def purge(self, partition: int, upto: int) -> None:
        self._log.purge(partition, upto)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        self.rejections.setdefault(command_seq, (session, data))
