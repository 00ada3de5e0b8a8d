"""Folding a session's new events, and what that changes in the tables. Pure; a history that cannot be folded breaks
its own session only.

An archived session is what its `session_archived` says and nothing of before, whatever was known: a rebuild finds
only that event, and must come to the same row.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stageflow_es.pipeline import Pipeline
from stageflow_es.projection.feed import FeedEvent
from stageflow_es.projection.rows import Row, broken_row, row_of
from stageflow_es.projection.schema import MARK_EVERY
from stageflow_es.session import ChainBroken, State, apply, snapshot
from stageflow_es.session.events import SessionArchived
from stageflow_es.session.fold import follow, read


class Change(msgspec.Struct, frozen=True):
    """What events changed of one session. `image`: its snapshot, None where no event could be folded. `marks`:
    numbers and stream sequences of events to be found again. `anew`: nothing stored of it before counts."""

    row: Row
    image: bytes | None
    labels: dict[str, str]
    marks: list[tuple[int, int]]
    anew: bool = False


class Live:
    """A session in memory: its state, the snapshot of it that was made last, and why it is broken, if it is.

    `pipeline` None: it has none, being archived, or none that could be had.
    """

    __slots__ = ("_lost", "image", "pipeline", "problem", "state")

    def __init__(self, session: str, pipeline: Pipeline | None = None, image: bytes | None = None) -> None:
        self.pipeline = pipeline
        self.image = image
        self.problem: str | None = None
        self.state = self._restored(session)
        self._lost = False

    @classmethod
    def broken(cls, session: str, problem: str) -> Live:
        """A session whose row says already that it is broken."""
        live = cls(session)
        live.problem = problem
        return live

    @classmethod
    def lost(cls, session: str, problem: str) -> Live:
        """A session nothing can be folded of, nor could be if all its events came again."""
        live = cls.broken(session, problem)
        live._lost = True
        return live

    def fold(self, events: Sequence[FeedEvent]) -> Change | None:
        """Fold events, in order; None: they changed nothing."""
        marks: list[tuple[int, int]] = []
        first, anew, changed = 0, self._lost, self._lost
        self._lost = False
        for index, event in enumerate(events):
            if event.seq <= self.state.seq:
                continue
            try:
                found = read(self.state, event.data)
                if type(found) is SessionArchived:
                    self._begin_anew()
                    marks, first, anew = [], index, True
                elif self.problem is not None:
                    continue
                follow(self.state, found, event.data, event.seq)
            except MemoryError:
                raise
            except Exception as fault:
                if self.problem is not None:
                    continue
                self._breaks(event, fault, events[first:index])
            else:
                if self.state.n % MARK_EVERY == 1 and self.state.n > 1:
                    marks.append((self.state.n, event.seq))
            changed = True
        return self._change(marks, anew) if changed else None

    def _begin_anew(self) -> None:
        self.pipeline = self.image = self.problem = None
        self.state = State(self.state.session)

    def _breaks(self, event: FeedEvent, fault: Exception, before: Sequence[FeedEvent]) -> None:
        """Note why an event cannot be folded; `before`: those of this time that could."""
        if isinstance(fault, ChainBroken):
            self.problem = f"stream sequence {event.seq}: {fault}"
            return
        self.problem = f"stream sequence {event.seq}: cannot be folded ({type(fault).__name__}: {fault})"
        self._replay(before)

    def _replay(self, events: Sequence[FeedEvent]) -> None:
        """Put the state in order again: from the last snapshot, through events that could be folded."""
        self.state = self._restored(self.state.session)
        for event in events:
            if event.seq > self.state.seq:
                apply(self.state, event.data, event.seq)

    def _restored(self, session: str) -> State:
        return State(session, self.pipeline) if self.image is None else snapshot.load(self.image, self.pipeline)

    def _change(self, marks: list[tuple[int, int]], anew: bool) -> Change:
        state = self.state
        row = row_of(state) if self.problem is None else broken_row(state, self.problem)
        self.image = snapshot.dump(state) if state.n else None
        labels = state.labels if state.archived is None else msgspec.json.decode(row.labels)
        return Change(row, self.image, labels, marks, anew)
