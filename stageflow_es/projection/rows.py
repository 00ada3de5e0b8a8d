"""From a state to its row. Pure: the same state gives the same row."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from stageflow_es.session import State

BROKEN = "broken"
"""The status of a session whose history cannot be folded; its row and snapshot stay at the last event that could."""

_encode = msgspec.json.Encoder().encode
_EMPTY: dict[type, str] = {list: "[]", dict: "{}"}


class Row(NamedTuple):
    """One row of `sessions`, its columns in order. `nodes`, `waiting_for`, `result`, `artifacts`, `error` and
    `labels` are JSON."""

    session: str
    status: str
    pipeline: str | None
    digest: str
    version: int
    nodes: str
    waiting_for: str
    result: str | None
    artifacts: str | None
    error: str | None
    labels: str
    started_at: str
    updated_at: str
    finished_at: str | None
    head: str
    seq: int


def row_of(state: State) -> Row:
    """The row of a session, its columns in order: finding so many by their names would cost as much as all the rest."""
    if state.archived is not None:
        return _archived(state, state.archived)
    return Row(
        state.session,
        state.status,
        state.pipeline_name,
        state.digest,
        state.n,
        _json(state.current_nodes()),
        _json(state.waiting_for()) if state.waits else "[]",
        _json_or_none(state.result),
        _json(state.artifacts) if state.outcome == "completed" else None,
        _json_or_none(state.error),
        _json(state.labels),
        state.started_at,
        state.updated_at,
        state.finished_at,
        state.head,
        state.seq,
    )


def broken_row(state: State, problem: str) -> Row:
    """The row of a session whose next event cannot be folded: where it was before, and the problem as its error."""
    error = _json({"type": "BrokenHistory", "message": problem})
    return row_of(state)._replace(status=BROKEN, error=error, finished_at=None)


def _archived(state: State, summary: dict[str, Any]) -> Row:
    """An archived session's row comes from its last event alone, for a rebuild finds nothing else of it. The event's
    `summary` may have any of the names below, with the meaning they have in a row."""
    labels = summary.get("labels")
    return Row(
        session=state.session,
        status="archived",
        pipeline=_text(summary, "pipeline"),
        digest=_text(summary, "digest") or "",
        version=state.n,
        nodes="[]",
        waiting_for="[]",
        result=_json_or_none(summary.get("result")),
        artifacts=_json_or_none(summary.get("artifacts")),
        error=_json_or_none(summary.get("error")),
        labels=_json({name: str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}),
        started_at=_text(summary, "started_at") or "",
        updated_at=state.updated_at,
        finished_at=_text(summary, "finished_at"),
        head=state.head,
        seq=state.seq,
    )


def _text(summary: dict[str, Any], name: str) -> str | None:
    value = summary.get(name)
    return value if isinstance(value, str) else None


def _json(value: Any) -> str:
    if not value:
        return _EMPTY.get(type(value)) or _encode(value).decode()
    return _encode(value).decode()


def _json_or_none(value: Any) -> str | None:
    return None if value is None else _encode(value).decode()
