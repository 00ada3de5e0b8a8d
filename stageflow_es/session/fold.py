"""Folding stored events: bytes in, state forward, the hash chain checked; and sealing new events into bytes."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from stageflow_es.errors import StageFlowError
from stageflow_es.session import events as ev
from stageflow_es.session.evolve import evolve
from stageflow_es.session.state import EVOLVE_VERSION, State

__all__ = ["EVOLVE_VERSION", "ChainBroken", "apply", "fold", "follow", "hash_of", "read", "seal"]


class ChainBroken(StageFlowError):
    """An event does not follow the one before it: another session's, a wrong number, or a wrong hash."""

    def __init__(self, session: str, n: int, message: str) -> None:
        self.session, self.n = session, n
        super().__init__(f"session {session}, event {n}: {message}")


def hash_of(data: bytes) -> str:
    """The hash that the next event's `prev` must have: SHA-256 of the stored bytes, in hex."""
    return sha256(data).hexdigest()


def seal(state: State, event: ev.Event) -> bytes:
    """Evolve the state by an event just decided, and return the bytes to store. `state.seq` is the caller's."""
    data = ev.encode(event)
    evolve(state, event)
    state.head = sha256(data).hexdigest()
    return data


def apply(state: State, data: bytes, seq: int = 0) -> ev.AnyEvent:
    """Fold one stored event; `seq` is its stream sequence. Raises ChainBroken, and then the state is as before."""
    event = read(state, data)
    follow(state, event, data, seq)
    return event


def read(state: State, data: bytes) -> ev.AnyEvent:
    """The event that is to follow in this session, from its bytes. Raises ChainBroken when they are no event."""
    try:
        return ev.decode(data)
    except msgspec.MsgspecError as problem:
        raise ChainBroken(state.session, state.n + 1, f"not an event: {problem}") from None


def follow(state: State, event: ev.AnyEvent, data: bytes, seq: int = 0) -> None:
    """Fold an event that was read from `data`. Raises ChainBroken, and then the state is as before."""
    number = state.n
    if not number or event.n != number + 1 or event.prev != state.head or event.session != state.session:
        _check(state, event)
    evolve(state, event)
    state.head = sha256(data).hexdigest()
    state.seq = seq


def _check(state: State, event: ev.AnyEvent) -> None:
    if event.session != state.session:
        raise ChainBroken(state.session, state.n + 1, f"it belongs to session {event.session!r}")
    if state.n == 0 and isinstance(event, ev.SessionArchived):
        return
    if event.n != state.n + 1:
        raise ChainBroken(state.session, state.n + 1, f"it is numbered {event.n}")
    if event.prev != state.head:
        raise ChainBroken(state.session, event.n, "`prev` is not the hash of the event before it")
    if state.n == 0 and not isinstance(event, ev.SessionStarted):
        raise ChainBroken(state.session, event.n, "a history begins with session_started")


def fold(state: State, history: Iterable[bytes]) -> State:
    """Fold stored events, in order, into `state`, and return it."""
    for data in history:
        apply(state, data)
    return state
