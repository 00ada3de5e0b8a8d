"""Folding a session's new events, and what that changes in the tables. Pure; a history that cannot be folded breaks
its own session only.

An archived session is what its `session_archived` says and nothing of before, whatever was known: a rebuild finds
only that event, and must come to the same row.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stageflow_es.projection.feed import FeedEvent
from stageflow_es.projection.rows import Row, broken_row, row_of
from stageflow_es.projection.schema import MARK_EVERY
from stageflow_es.session import ChainBroken, State, apply, snapshot
from stageflow_es.session.events import SessionArchived, decode


class Crashed(Exception):  # noqa: N818
    """The fold itself failed at event `index` of those given, and the state is in no good order now."""

    def __init__(self, index: int, problem: str) -> None:
        self.index, self.problem = index, problem
        super().__init__(problem)


class Live:
    """A session in memory: its state, and why it is broken, if it is."""

    __slots__ = ("problem", "state")

    def __init__(self, state: State, problem: str | None = None) -> None:
        self.state = state
        self.problem = problem


class Change(msgspec.Struct, frozen=True):
    """What a batch changed of one session. `anew`: nothing that was stored of it before counts. `marks`: numbers and
    stream sequences of events to be found again. `image`: the snapshot, None where no event could be folded."""

    row: Row
    image: bytes | None
    labels: dict[str, str]
    marks: list[tuple[int, int]]
    anew: bool = False


def fold_events(live: Live, events: Sequence[FeedEvent]) -> Change | None:
    """Fold events into a session; None: they changed nothing. Raises Crashed."""
    marks: list[tuple[int, int]] = []
    changed = anew = False
    for index, event in enumerate(events):
        if event.seq <= live.state.seq:
            continue
        if _is_archive(event.data):
            live.state, live.problem = State(live.state.session), None
            marks, anew = [], True
        elif live.problem is not None:
            continue
        changed = True
        _fold(live, event, index)
        if live.problem is None and live.state.n % MARK_EVERY == 1:
            marks.append((live.state.n, event.seq))
    return _change(live, marks, anew) if changed else None


def broken(live: Live, problem: str) -> Change:
    """Mark a session as broken."""
    live.problem = problem
    return _change(live, [], False)


def _fold(live: Live, event: FeedEvent, index: int) -> None:
    try:
        apply(live.state, event.data, event.seq)
    except ChainBroken as problem:
        live.problem = f"stream sequence {event.seq}: {problem}"
    except MemoryError:
        raise
    except Exception as fault:
        n = live.state.n
        problem = f"stream sequence {event.seq}: event {n} cannot be folded: {type(fault).__name__}: {fault}"
        raise Crashed(index, problem) from fault


def _is_archive(data: bytes) -> bool:
    if b"session_archived" not in data:
        return False
    try:
        return isinstance(decode(data), SessionArchived)
    except Exception:
        return False


def _change(live: Live, marks: list[tuple[int, int]], anew: bool) -> Change:
    state = live.state
    row = row_of(state) if live.problem is None else broken_row(state, live.problem)
    image = snapshot.dump(state) if state.n else None
    return Change(row, image, _labels(row, state), marks, anew)


def _labels(row: Row, state: State) -> dict[str, str]:
    if state.archived is None:
        return state.labels
    labels: dict[str, str] = msgspec.json.decode(row.labels)
    return labels
