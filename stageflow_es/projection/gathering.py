"""Gathering events into batches: as soon as they come when they are few, in large batches when they are many.

A session that begins and ends within one batch is written once. The more events a batch has, the less each of them
costs; the longer it is gathered, the later its first one can be seen.
"""

from __future__ import annotations

import asyncio

from stageflow_es.projection.feed import FeedEvent, FeedReader

BATCH = 20_000
BATCH_BYTES = 32 * 1024 * 1024
"""Events, and about as many bytes of them, of one batch at most."""
IDLE = 0.2
"""Seconds a fetch waits, and so the longest that it takes to stop while nothing happens."""
EVERY = 0.4
"""Seconds from the end of one batch to that of the next, while events are many."""
LOOK, MANY = 0.01, 20
"""Seconds a batch waits for more at first. Whenever a wait brings less than so many events, the batch ends: there is
little to gain by waiting."""
PAUSE = 0.05
"""Seconds between two fetches of a batch: fewer and larger pieces cost less."""
TOO_SHORT = 0.001
"""Seconds that are not worth waiting."""
BACKLOG = 1_000
"""So many events in one fetch: there are more where they came from."""


class Gathering:
    """Makes batches of at most `limit` events of what `reader` reads; that may be changed between batches."""

    def __init__(self, reader: FeedReader, limit: int = BATCH) -> None:
        self._reader = reader
        self.limit = limit
        self._ended = asyncio.get_running_loop().time()

    async def next(self) -> list[FeedEvent]:
        """The next batch; empty: nothing happens just now. What came while the last one was written counts as waited
        for already."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        events = list(await self._reader.fetch(self.limit, IDLE))
        came_at_once = loop.time() - asked < LOOK
        until = (self._ended if came_at_once else loop.time()) + EVERY
        came, pause = len(events), LOOK
        size = sum([len(event.data) for event in events])
        while events and len(events) < self.limit and size < BATCH_BYTES and (left := until - loop.time()) > TOO_SHORT:
            await asyncio.sleep(min(pause, left))
            more = await self._reader.fetch(self.limit - len(events), 0)
            events += more
            size += sum([len(event.data) for event in more])
            if came + len(more) < MANY:
                break
            came, pause = 0, LOOK if len(more) >= BACKLOG else PAUSE
        self._ended = loop.time()
        return events
