"""Histories, checked and explained with no server: `verify_history`, `export_history`, `explain_history`.

What these take as a history is the path of an export (`history.jsonl`), or the stored events themselves (such as
`Session.events`) together with their definition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from stageflow_es import stageflow
from stageflow_es.errors import StageFlowError
from stageflow_es.pipeline import Catalog, Pipeline
from stageflow_es.session import State
from stageflow_es.session.explain import Explainer
from stageflow_es.session.explanation import Explanation
from stageflow_es.session.export import Damaged, Export, header_line, verify_export
from stageflow_es.session.fold import hash_of
from stageflow_es.session.spelling import Unreadable, read
from stageflow_es.session.verify import Broken, Verified, Verifier, verify

History = str | PathLike[str] | Iterable[bytes]
Definition = Mapping[str, Any] | Pipeline | stageflow.Pipeline


class HistoryBroken(StageFlowError):
    """A history does not follow, and so says nothing beyond; `broken` is what is wrong."""

    def __init__(self, broken: Broken) -> None:
        self.broken = broken
        super().__init__(f"event {broken.n} does not follow: {broken.message}" if broken.n else broken.message)


def verify_history(
    history: History,
    definition: Definition | None = None,
    *,
    session: str | None = None,
    head: str | None = None,
    count: int | None = None,
) -> Verified | Broken:
    """Verify that a history follows from its definition, event by event. A Broken is falsy.

    `definition` is needed for events, and given beside an export it has to be the one that is in it. `session`,
    `head` and `count` are what is known of the history from elsewhere; an export has its own. Raises OSError for a
    file that cannot be read, NotAnExport for one that is no export, DefinitionError for a definition that is none.
    """
    if not isinstance(history, (str, PathLike)):
        events = _events(history)
        return verify(_events_definition(definition), events, session=session, head=head, count=count)
    pipeline = None if definition is None else _compiled(definition)
    with Path(history).open("rb") as lines:
        return verify_export(lines, pipeline=pipeline, session=session, head=head, count=count)


def export_history(events: Iterable[bytes], definition: Definition) -> Iterator[bytes]:
    """The lines of an export of a whole history, to be written to a file in this order. It is of what was stored,
    whether it verifies or not. Raises HistoryBroken when the events do not say what belongs in its header."""
    stored = list(_events(events))
    try:
        last = read(stored[-1] if stored else b"")
    except Unreadable as problem:
        broken = Broken(session="", n=len(stored), kind="bytes", message=f"the last event: {problem}")
        raise HistoryBroken(broken) from None
    yield export_header(_compiled(definition), last.session, stored[-1], len(stored))
    for data in stored:
        yield data + b"\n"


def export_header(pipeline: Pipeline, session: str, last: bytes, count: int) -> bytes:
    """The first line of an export made now: of the `count` events of a session up to `last`."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    release, head = version("stageflow-es"), hash_of(last)
    return header_line(pipeline, session=session, count=count, head=head, exported_at=at, stageflow=release)


def replay_history(history: History, definition: Definition | None = None, *, at: int | None = None) -> State:
    """The state as of event `at`, or of the last. Raises HistoryBroken when the history does not follow until there,
    ValueError when there is no such event."""
    return _fold(history, definition, at)


def what_if(history: History, definition: Definition) -> Verified | Broken:
    """Whether the history could have happened under another definition: Verified, or the first event at which they
    part, with what would be there instead where that is known."""
    with _opened(history, definition, pinned=False) as (verifier, events, finish):
        for data in events:
            broken = verifier.check(data)
            if broken is not None:
                return broken
    return finish()


def explain_history(
    history: History,
    definition: Definition | None = None,
    *,
    stages: Catalog | None = None,
    at: int | None = None,
) -> Explanation:
    """Why a session stands where its history ends, or stood at event `at`. `stages`: what is known of the stage
    classes, to say how many attempts they may take. Raises as `replay_history` does."""
    explainer = Explainer(stages)
    return explainer.explain(_fold(history, definition, at, explainer))


def _fold(history: History, definition: Definition | None, at: int | None, explainer: Explainer | None = None) -> State:
    note = None if explainer is None else explainer.before
    with _opened(history, definition) as (verifier, events, finish):
        state = verifier.state
        while state.n != at and (data := next(events, None)) is not None:
            broken = verifier.check(data, note)
            if broken is not None:
                raise HistoryBroken(broken)
    if at is None and state.n and isinstance(verdict := finish(), Broken):
        raise HistoryBroken(verdict)
    if not state.n or at not in (None, state.n):
        if at is not None and (not isinstance(at, int) or at < 1):
            raise ValueError(f"there is no event {at!r}: they are numbered from 1")
        raise ValueError(f"there is no event {at or 1}: the history has {state.n}")
    return state


@contextmanager
def _opened(
    history: History, definition: Definition | None, *, pinned: bool = True
) -> Iterator[tuple[Verifier, Iterator[bytes], Callable[[], Verified | Broken]]]:
    """A verifier for a history, its events, and what says in the end whether they are all there are."""
    if not isinstance(history, (str, PathLike)):
        events = _events(history)
        verifier = Verifier(_events_definition(definition), pinned=pinned)
        yield verifier, iter(events), verifier.finish
        return
    with Path(history).open("rb") as lines:
        try:
            export = Export(lines)
        except Damaged as problem:
            raise HistoryBroken(problem.broken) from None
        pipeline = export.pipeline if pinned or definition is None else _compiled(definition)
        header = export.header
        verifier = Verifier(pipeline, header.session, pinned=pinned)
        yield verifier, export.events(), partial(verifier.finish, head=header.head, count=header.count)


def _events(history: Iterable[bytes]) -> Iterable[bytes]:
    if isinstance(history, bytes) or not isinstance(history, Iterable):
        raise TypeError(f"a history is the path of an export, or its events, each as stored bytes; not {history!r:.80}")
    return history


def _events_definition(definition: Definition | None) -> Pipeline:
    if definition is None:
        raise TypeError("events need their definition: an export has it with it")
    return _compiled(definition)


def _compiled(definition: Definition) -> Pipeline:
    match definition:
        case Pipeline():
            return definition
        case stageflow.Pipeline():
            return definition.compiled
        case _:
            return Pipeline.from_dict(definition)
