"""The feed of committed events on the reference bus."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stageflow_es.bus.feed_event import FeedEvent
from stageflow_es.bus.memory.event_log import MemoryEventLog
from stageflow_es.engine.ports import LogRecreated, StoredEvent


class MemoryEventFeed:
    """Every event of a memory event log, in order, and pages of one session's."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log

    async def created(self) -> str:
        return "memory"

    async def last(self) -> int:
        heads = [await self._log.head(session) for session in self._log.sessions()]
        return max((head.seq for head in heads if head), default=0)

    async def open(self, after: int) -> MemoryFeedReader:
        if after > (last := await self.last()):
            raise LogRecreated(f"the log ends at {last}, but was read up to {after}: it is another log")
        stored = []
        for session in self._log.sessions():
            stored += [FeedEvent(event.seq, session, event.data) for event in await self._log.read(session, after)]
        return MemoryFeedReader(self._log, sorted(stored, key=lambda event: event.seq))

    async def page(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        return (await self._log.read(session, after))[:limit]

    async def next(self, session: str, after: int) -> StoredEvent | None:
        return next(iter(await self._log.read(session, after)), None)


class MemoryFeedReader:
    """Reads events that are there, and then those that come."""

    def __init__(self, log: MemoryEventLog, stored: list[FeedEvent]) -> None:
        self._found = stored
        self._arrived = asyncio.Event()
        self._unsubscribe = log.subscribe(self._take)

    async def fetch(self, limit: int, wait: float) -> Sequence[FeedEvent]:
        self._arrived.clear()
        if not self._found:
            try:
                async with asyncio.timeout(wait):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        events = self._found[:limit]
        del self._found[:limit]
        return events

    async def close(self) -> None:
        self._unsubscribe()

    def _take(self, session: str, event: StoredEvent) -> None:
        self._found.append(FeedEvent(event.seq, session, event.data))
        self._arrived.set()
