"""Checkpoints in memory."""

from __future__ import annotations

from stageflow_es.bus.memory.bucket import MemoryBucket
from stageflow_es.engine.ports import Checkpoint, WrongSequence


class MemoryCheckpoints:
    """`Checkpoints` in memory."""

    def __init__(self) -> None:
        self._kept = MemoryBucket()

    async def read(self, partition: int) -> tuple[int, Checkpoint | None]:
        return self._kept.values.get(partition, (0, None))

    async def write(self, partition: int, revision: int, checkpoint: Checkpoint) -> int:
        actual, _ = self._kept.values.get(partition, (0, None))
        if actual != revision:
            raise WrongSequence(f"the checkpoint of partition {partition} is at {actual}, not {revision}")
        return self._kept.put(partition, checkpoint)
