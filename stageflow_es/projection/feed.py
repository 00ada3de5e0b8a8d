"""What the projection needs of a bus: every committed event in order, and pages of one session's history.

A bus implements these without knowing them: only the shape of what it returns matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stageflow_es.engine.ports import StoredEvent


class FeedEvent(Protocol):
    """One committed event of some session. `seq` is its place in the stream of all sessions' events."""

    @property
    def seq(self) -> int: ...

    @property
    def session(self) -> str: ...

    @property
    def data(self) -> bytes: ...


class FeedReader(Protocol):
    """Reads the feed in order for as long as it is open. Sequences may leave gaps where events were purged; what was
    lost on the way is delivered again, so that nothing that is stored is left out and nothing comes twice."""

    async def fetch(self, limit: int, wait: float) -> Sequence[FeedEvent]:
        """The next events, at most `limit`, as soon as there is one; empty after `wait` seconds with none. Raises
        LogRecreated."""

    async def close(self) -> None: ...


class EventFeed(Protocol):
    """The events of all sessions in the order they were committed."""

    async def created(self) -> str:
        """When the stream was created: its identity. Raises LogRecreated when there is none, Unanswered."""

    async def last(self) -> int:
        """The sequence of the newest event, 0 with none. Raises LogRecreated, Unanswered."""

    async def open(self, after: int) -> FeedReader:
        """A reader of what has a sequence above `after`. Raises LogRecreated when the stream ends below it."""


class Histories(Protocol):
    """The sessions' stored events, a page at a time."""

    async def page(self, session: str, after: int, limit: int) -> Sequence[StoredEvent]:
        """Up to `limit` events of a session with a sequence above `after`, in order, complete as far as they go. When
        they are fewer, `next` knows whether that was all. Raises Unanswered."""

    async def next(self, session: str, after: int) -> StoredEvent | None:
        """The first of a session's events with a sequence above `after`; None: there is none now. Raises
        Unanswered."""
