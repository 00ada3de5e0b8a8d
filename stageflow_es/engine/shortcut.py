"""A long session's state from the projection's snapshot and the events after it, instead of its whole history.

Nothing is taken on the snapshot's word that the log can tell: the definition is the one the session's first event
pins, the next event's `prev` must be the snapshot's `head` (of the newest snapshot: the hash of the last event), and
number and sequence must be the last event's in the end. So one that is stale is brought up to date, and one that is
torn, of another session, of another history or of another release's fold is not used: the history is read from its
beginning, as with no projection at all, which is slower and no less right.

What the log cannot tell is whether the rest of a snapshot is what its events add up to; that is the word of whoever
answers on the query subject, and the server's permissions say who that may be. An engine misled there would append
what does not follow, and `stageflow verify` names the first such event.
"""

from __future__ import annotations

import asyncio

import msgspec

from stageflow_es.engine.definitions import Library
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import BusError, EventLog, Snapshots, StoredEvent, Unanswered
from stageflow_es.engine.replay import replay
from stageflow_es.log import logger
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import ChainBroken, State, snapshot
from stageflow_es.session.events import SessionArchived, SessionStarted, decode
from stageflow_es.session.fold import hash_of

log = logger(__name__)

QUIET = 5.0
"""Seconds for which nobody is asked after nobody answered: there is no projection, or it is at its limit."""


class Shortcut:
    """Loads sessions of more than `longer_than` events from snapshots."""

    def __init__(self, events: EventLog, library: Library, snapshots: Snapshots, longer_than: int) -> None:
        self._events = events
        self._library = library
        self._snapshots = snapshots
        self._longer_than = longer_than
        self._quiet_until = 0.0

    async def take(self, session: str, head: StoredEvent) -> State | None:
        """The state as of `head`, the session's last event; None: there is no shortcut to it."""
        if not self._long(head):
            return None
        image = await self._ask(session)
        if image is None:
            return None
        started = await self._started(session)
        if started is None:
            return None
        pipeline = await self._library.by_digest(started.digest)
        try:
            state = _restored(session, image, pipeline, head)
            newer = decode(head.data).n - state.n
            await replay(state, await surely(lambda: self._events.read(session, state.seq, head.seq, about=newer)))
            _check_reached(state, head)
        except BusError:
            raise
        except Exception as problem:  # whatever is wrong with a snapshot, there is the history
            log.warning("snapshot_not_used", session=session, problem=f"{type(problem).__name__}: {problem}")
            return None
        return state

    def _long(self, head: StoredEvent) -> bool:
        try:
            event = decode(head.data)
        except msgspec.MsgspecError:
            return False
        return event.n > self._longer_than and not isinstance(event, SessionArchived)

    async def _ask(self, session: str) -> bytes | None:
        time = asyncio.get_running_loop().time
        if time() < self._quiet_until:
            return None
        try:
            return await self._snapshots.get(session)
        except Unanswered:
            self._quiet_until = time() + QUIET
            return None

    async def _started(self, session: str) -> SessionStarted | None:
        """The session's first event; None: it is archived by now."""
        first = await surely(lambda: self._events.first(session))
        event = None if first is None else decode(first.data)
        return event if isinstance(event, SessionStarted) else None


def _restored(session: str, image: bytes, pipeline: Pipeline, head: StoredEvent) -> State:
    """The snapshot's state, if it claims to be one on the way to `head`. Raises ChainBroken, and more."""
    state = snapshot.load(image, pipeline)
    if (state.session, state.digest) != (session, pipeline.digest):
        raise ChainBroken(session, state.n, f"the snapshot is of session {state.session!r}, definition {state.digest}")
    if not 0 < state.seq <= head.seq:
        raise ChainBroken(session, state.n, f"the snapshot's sequence {state.seq} is not up to {head.seq}")
    return state


def _check_reached(state: State, head: StoredEvent) -> None:
    """Raise ChainBroken unless the state is as of this event. Where events were folded on the way it follows from
    their own chain; the newest snapshot has nothing else to vouch for it."""
    if (state.head, state.seq, state.n) != (hash_of(head.data), head.seq, decode(head.data).n):
        raise ChainBroken(state.session, state.n, "the snapshot's `head` is not the hash of the session's last event")
