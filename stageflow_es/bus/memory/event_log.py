"""Histories in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from stageflow_es.bus.memory.partitioned_log import seq_of
from stageflow_es.engine.ports import Refused, StoredEvent, WrongSequence

Subscriber = Callable[[str, StoredEvent], None]

_LARGEST_EVENT = 1024 * 1024 - 512
_LARGEST_APPEND = 1000


class MemoryEventLog:
    """`EventLog` in memory. Subscribers are called with every event, once it is stored, in order."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[StoredEvent]] = {}
        self._last = 0
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(session, event)` from now on; the answer ends it."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def sessions(self) -> list[str]:
        return list(self._sessions)

    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        if not 0 < len(events) <= _LARGEST_APPEND:
            raise Refused(f"session {session}: {len(events)} events in one append; 1 to {_LARGEST_APPEND}")
        if max(map(len, events)) > _LARGEST_EVENT:
            raise Refused(f"session {session}: an event of more than {_LARGEST_EVENT:,} bytes")
        history = self._sessions.get(session, [])
        actual = history[-1].seq if history else 0
        if actual != expected:
            raise WrongSequence(f"session {session}: its last sequence is {actual}, not {expected}")
        stored = [StoredEvent(self._last + number, data) for number, data in enumerate(events, 1)]
        self._last = stored[-1].seq
        self._sessions.setdefault(session, history).extend(stored)
        for subscriber in list(self._subscribers):
            for event in stored:
                subscriber(session, event)
        return self._last

    async def head(self, session: str) -> StoredEvent | None:
        history = self._sessions.get(session)
        return history[-1] if history else None

    async def first(self, session: str) -> StoredEvent | None:
        history = self._sessions.get(session)
        return history[0] if history else None

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        history = self._sessions.get(session, [])
        end = None if upto is None else bisect_right(history, upto, key=seq_of)
        return history[bisect_right(history, after, key=seq_of) : end]

    async def forget(self, session: str, before: int) -> None:
        """Forget the session's events with a sequence below `before`; its last event always stays."""
        history = self._sessions.get(session, [])
        del history[: min(bisect_right(history, before - 1, key=seq_of), max(len(history) - 1, 0))]
