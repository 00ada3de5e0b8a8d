"""A log of messages in partitions, and a reader of one of them: what commands and fires are read from."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from stageflow_es.engine.ports import LogRecreated


class PartitionedLog:
    """Messages in the order they came, each in one partition, and whoever waits for more."""

    def __init__(self) -> None:
        self.partitions: defaultdict[int, list[Any]] = defaultdict(list)
        self.last = 0
        self.arrived = asyncio.Event()

    def add(self, partition: int, make: Callable[[int], Any]) -> int:
        self.last += 1
        self.partitions[partition].append(make(self.last))
        self.arrived.set()
        self.arrived = asyncio.Event()
        return self.last

    def purge(self, partition: int, upto: int) -> None:
        messages = self.partitions[partition]
        del messages[: bisect_right(messages, upto, key=seq_of)]

    def after(self, partition: int, seq: int, limit: int) -> list[Any]:
        messages = self.partitions[partition]
        start = bisect_right(messages, seq, key=seq_of)
        return messages[start : start + limit]


class MemoryReader:
    """`Reader` of one partition of a log. Waits by the running loop's time, which a simulator may own."""

    def __init__(self, log: PartitionedLog, partition: int, after: int, refresh: Callable[[], float]) -> None:
        if after > log.last:
            raise LogRecreated(f"the log ends at {log.last}, but was read up to {after}: it is another log")
        self._log = log
        self._partition = partition
        self._seen = after
        self._refresh = refresh

    async def fetch(self, limit: int, wait: float) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            pause = self._refresh()
            if found := self._log.after(self._partition, self._seen, limit):
                self._seen = found[-1].seq
                return found
            if (left := deadline - loop.time()) <= 0:
                return []
            try:
                async with asyncio.timeout(min(left, pause)):
                    await self._log.arrived.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Nothing to let go of."""


def seq_of(message: Any) -> int:
    """What messages and events are in the order of."""
    return int(message.seq)
