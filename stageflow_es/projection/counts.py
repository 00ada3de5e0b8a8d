"""How many sessions have which status, by pipeline: what the table that the triggers keep says."""

from __future__ import annotations

import sqlite3

import msgspec


class PipelineCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The sessions of one pipeline by status, those that have any. `pipeline` None: of all definitions without a
    name."""

    pipeline: str | None
    sessions: dict[str, int]


class SessionCounts(msgspec.Struct, frozen=True, kw_only=True):
    """All sessions by status, and the pipelines that have most of them. `more`: pipelines that are not listed.
    `seq`: the stream sequence as of which that is so."""

    seq: int
    sessions: dict[str, int]
    pipelines: list[PipelineCounts]
    more: int


def session_counts(connection: sqlite3.Connection, pipeline: str | None, limit: int) -> SessionCounts:
    """Counts of all sessions, or of those of one pipeline, with up to `limit` pipelines: all as of one moment."""
    connection.execute("BEGIN")
    try:
        return _session_counts(connection, pipeline, limit)
    finally:
        connection.execute("COMMIT")


def _session_counts(connection: sqlite3.Connection, pipeline: str | None, limit: int) -> SessionCounts:
    where, values = ("", ()) if pipeline is None else ("WHERE pipeline = ?", (pipeline,))
    totals = f"SELECT status, sum(sessions) FROM counts {where} GROUP BY status"
    number = f"SELECT count(DISTINCT pipeline) FROM counts {where}"
    largest = (
        f"SELECT pipeline, json_group_object(status, sessions) FROM counts {where} "
        "GROUP BY pipeline ORDER BY sum(sessions) DESC, pipeline LIMIT ?"
    )
    listed = [
        PipelineCounts(pipeline=name or None, sessions=msgspec.json.decode(sessions))
        for name, sessions in connection.execute(largest, (*values, limit)).fetchall()
    ]
    return SessionCounts(
        seq=connection.execute("SELECT seq FROM checkpoint").fetchone()[0],
        sessions=dict(connection.execute(totals, values).fetchall()),
        pipelines=listed,
        more=connection.execute(number, values).fetchone()[0] - len(listed),
    )
