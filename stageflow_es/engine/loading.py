"""Loading a session: its history from the leader, folded with the pipeline its first event pins; of a long one the
part that is newer than a snapshot, where one is to be had.
"""

from __future__ import annotations

import asyncio

from stageflow_es.engine.definitions import Library
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import EventLog, StoredEvent
from stageflow_es.engine.replay import replay
from stageflow_es.engine.shortcut import Shortcut
from stageflow_es.session import State
from stageflow_es.session.events import SessionStarted, decode

AT_ONCE = 64
"""Sessions loaded at the same time after a take-over."""

STALE_PAUSE = 0.05


class Loader:
    """Loads states from an event log."""

    def __init__(self, events: EventLog, library: Library, shortcut: Shortcut) -> None:
        self._events = events
        self._library = library
        self._shortcut = shortcut
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def load(self, session: str, least: int) -> State:
        """The state of `session`, at least of version `least`: a head below that is a stale read, made again."""
        while True:
            async with self._gate:
                state = await self._read(session)
            if state.n >= least:
                return state
            await asyncio.sleep(STALE_PAUSE)

    async def _read(self, session: str) -> State:
        head = await surely(lambda: self._events.head(session))
        if head is None:
            return State(session)
        return await self._shortcut.take(session, head) or await self._from_history(session, head)

    async def _from_history(self, session: str, head: StoredEvent) -> State:
        history = await surely(lambda: self._events.read(session, 0, head.seq))
        first = decode(history[0].data)
        pipeline = await self._library.by_digest(first.digest) if isinstance(first, SessionStarted) else None
        state = State(session, pipeline)
        await replay(state, history)
        return state
