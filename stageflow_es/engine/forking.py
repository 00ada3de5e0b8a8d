"""What a fork begins from: another session's history, read from the leader and folded up to the event it names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from stageflow_es.engine.definitions import Library
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import EventLog, Refused, StoredEvent
from stageflow_es.errors import DefinitionError, OperatorError, Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import ChainBroken, State, apply
from stageflow_es.session.events import Origin, SessionStarted, decode
from stageflow_es.session.fork import objections, origin_of
from stageflow_es.session.ids import RULE, is_session_id
from stageflow_es.session.wire import ForkPoint

FOLDED_AT_ONCE = 500
"""Events folded before others in the process get their turn."""


class Forked(msgspec.Struct, frozen=True):
    """A session as a fork finds it: where it begins, with which pipeline, and the name and labels it inherits."""

    origin: Origin
    pipeline: Pipeline
    name: str | None
    labels: dict[str, str]


class Forks:
    """Reads sessions to be forked."""

    def __init__(self, events: EventLog, library: Library) -> None:
        self._events = events
        self._library = library

    async def prepare(self, point: ForkPoint, other: Pipeline | None) -> Forked | list[Problem]:
        """What a fork at `point` begins with, under the definition `other` if one is given; or why it cannot."""
        if not is_session_id(point.session):
            return [Problem(path="/fork/session", message=f"a session id is {RULE}")]
        try:
            history = await surely(lambda: self._events.read(point.session))
            state = await self._fold(point, history)
        except Refused as problem:
            return [Problem(path="/fork/session", message=str(problem))]
        except (ChainBroken, msgspec.MsgspecError) as problem:
            return [Problem(path="/fork/session", message=f"its history is broken: {problem}")]
        except (OperatorError, DefinitionError) as problem:
            return [Problem(path="/fork/session", message=f"its definition cannot be had: {problem}")]
        if isinstance(state, Problem):
            return [state]
        pipeline = other or state.pipeline
        problems = objections(state, pipeline)
        return problems or Forked(origin_of(state), pipeline, state.pipeline_name, state.labels)

    async def _fold(self, point: ForkPoint, history: Sequence[StoredEvent]) -> State | Problem:
        session = point.session
        if not history:
            return Problem(path="/fork/session", message=f"there is no session {session!r}")
        first = decode(history[0].data)
        if not isinstance(first, SessionStarted):
            message = f"session {session!r} is archived: its history is in its export"
            return Problem(path="/fork/session", message=message)
        wanted = len(history) if point.at is None else point.at
        if wanted > len(history):
            message = f"session {session!r} has no event {wanted}; its last is {len(history)}"
            return Problem(path="/fork/at", message=message)
        state = State(session, await self._library.by_digest(first.digest))
        for number, stored in enumerate(history[:wanted], 1):
            apply(state, stored.data)
            if number % FOLDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        return state
