"""Partition checkpoints: keys without a term, written by compare-and-set."""

from __future__ import annotations

import msgspec

from stageflow_es.bus.jetstream.bucket import Bucket
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import Checkpoint
from stageflow_es.errors import OperatorError


class JetStreamCheckpoints:
    """`Checkpoints` in the engines' bucket."""

    def __init__(self, link: Link, names: Names) -> None:
        self._bucket = Bucket(link, names.engines)

    async def read(self, partition: int) -> tuple[int, Checkpoint | None]:
        stored = await self._bucket.last(_key(partition))
        if stored is None or stored.marker:
            return (stored.seq if stored else 0), None
        try:
            return stored.seq, msgspec.json.decode(stored.data, type=Checkpoint)
        except msgspec.DecodeError as error:
            raise OperatorError(f"the checkpoint of partition {partition} is not one of ours: {error}") from error

    async def write(self, partition: int, revision: int, checkpoint: Checkpoint) -> int:
        return await self._bucket.put(_key(partition), msgspec.json.encode(checkpoint), expected=revision)


def _key(partition: int) -> str:
    return f"checkpoint.{partition}"
