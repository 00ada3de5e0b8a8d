"""What queries read from the file: rows, pages of rows, snapshots, marks. Writes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from stageflow_es.projection.counts import SessionCounts, session_counts
from stageflow_es.projection.database import Database, Unavailable, check_release
from stageflow_es.projection.rows import BROKEN, Row
from stageflow_es.projection.store import Checkpoint

_COLUMNS = ", ".join(f"sessions.{name}" for name in Row._fields)
_NEWEST_FIRST = "ORDER BY {table}.started_at DESC, {table}.session DESC LIMIT ?"


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of a list ends: the next one begins behind it."""

    started_at: str
    session: str


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which sessions a list is of. `digest`: of these versions of `pipeline`. `label`: name and value."""

    status: str | None = None
    pipeline: str | None = None
    digest: str | None = None
    label: tuple[str, str] | None = None


class Reader:
    """Reads the projection at `path`. All raise OperatorError and Unavailable."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database = Database(path, self._check, create=False)

    async def row(self, session: str) -> Row | None:
        return await self._database.run(lambda connection: _row(connection, session))

    async def rows(self, wanted: Filter, after: Place | None, limit: int) -> list[Row]:
        """Up to `limit` rows behind `after`, the latest started first."""
        return await self._database.run(lambda connection: _rows(connection, wanted, after, limit))

    async def versions(self, pipeline: str, digest: str) -> list[str]:
        """The digests beginning with `digest` that sessions of a pipeline have: two of them, where there are more."""
        return await self._database.run(lambda connection: _versions(connection, pipeline, digest))

    async def snapshot(self, session: str) -> tuple[Row, bytes | None] | None:
        """A session's row with the snapshot it was written with."""
        return await self._database.run(lambda connection: _snapshot(connection, session))

    async def before(self, session: str, n: int) -> tuple[int, int]:
        """A stream sequence below that of the session's event `n`, and not far below in that session; and the number
        of the first event above it."""
        return await self._database.run(lambda connection: _before(connection, session, n))

    async def checkpoint(self) -> Checkpoint:
        question = "SELECT stream_created, seq FROM checkpoint"
        return await self._database.run(lambda connection: Checkpoint(*connection.execute(question).fetchone()))

    async def broken(self) -> int:
        """How many sessions are broken."""
        question = "SELECT count(*) FROM sessions WHERE status = ?"
        return int(await self._database.run(lambda connection: connection.execute(question, (BROKEN,)).fetchone()[0]))

    async def counts(self, pipeline: str | None, limit: int) -> SessionCounts:
        """How many sessions have which status, all or those of one pipeline, by up to `limit` pipelines."""
        return await self._database.run(lambda connection: session_counts(connection, pipeline, limit))

    async def close(self) -> None:
        await self._database.close()

    def _check(self, connection: sqlite3.Connection) -> None:
        if not check_release(connection, self._path):
            raise Unavailable(f"{self._path} is empty: the projector has not begun yet")


def _row(connection: sqlite3.Connection, session: str) -> Row | None:
    found = connection.execute(f"SELECT {_COLUMNS} FROM sessions WHERE session = ?", (session,)).fetchone()
    return None if found is None else Row(*found)


def _snapshot(connection: sqlite3.Connection, session: str) -> tuple[Row, bytes | None] | None:
    question = f"SELECT {_COLUMNS}, state FROM sessions LEFT JOIN snapshots USING (session) WHERE session = ?"
    found = connection.execute(question, (session,)).fetchone()
    return None if found is None else (Row(*found[:-1]), found[-1])


def _before(connection: sqlite3.Connection, session: str, n: int) -> tuple[int, int]:
    question = "SELECT seq - 1, n FROM marks WHERE session = ? AND n <= ? ORDER BY n DESC LIMIT 1"
    found = connection.execute(question, (session, n)).fetchone()
    return (0, 1) if found is None else found


def _versions(connection: sqlite3.Connection, pipeline: str, digest: str) -> list[str]:
    """By a look at the index for each, however many sessions there are of one."""
    question = (
        "SELECT digest FROM sessions INDEXED BY sessions_by_version "
        "WHERE pipeline = ? AND digest {above} ? AND digest < ? ORDER BY digest LIMIT 1"
    )
    beyond = f"{digest}g"  # behind all digits
    first = connection.execute(question.format(above=">="), (pipeline, digest, beyond)).fetchone()
    if first is None:
        return []
    second = connection.execute(question.format(above=">"), (pipeline, first[0], beyond)).fetchone()
    return [found[0] for found in (first, second) if found is not None]


def _rows(connection: sqlite3.Connection, wanted: Filter, after: Place | None, limit: int) -> list[Row]:
    """By the index that begins with just what is wanted, so that no session is looked at that is not: it takes no
    longer where few or none are found."""
    table = "sessions" if wanted.label is None else "labels"
    terms: dict[str, object] = {}
    if wanted.label is not None:
        terms["labels.name = ?"], terms["labels.value = ?"] = wanted.label
    if wanted.status is not None:
        terms[f"{table}.status = ?"] = wanted.status
    if wanted.pipeline is not None:
        terms[f"{table}.pipeline = ?"] = wanted.pipeline
    if wanted.digest is not None:
        terms["sessions.digest = ?"] = wanted.digest
    values = list(terms.values())
    where = list(terms)
    if after is not None:
        where.append(f"({table}.started_at, {table}.session) < (?, ?)")
        values += [after.started_at, after.session]
    question = (
        f"SELECT {_COLUMNS} FROM {_source(wanted)} {'WHERE ' if where else ''}{' AND '.join(where)} "
        f"{_NEWEST_FIRST.format(table=table)}"
    )
    return [Row(*found) for found in connection.execute(question, (*values, limit))]


def _source(wanted: Filter) -> str:
    """Named, for SQLite without statistics takes the first index that would do. The labels' own key is by time."""
    by = "_and_".join(name for name in ("pipeline", "status") if getattr(wanted, name) is not None)
    if wanted.label is None and wanted.digest is not None:
        return f"sessions INDEXED BY {by.replace('pipeline', 'sessions_by_version')}"
    if wanted.label is None:
        return f"sessions INDEXED BY sessions_by_{by or 'time'}"
    return f"labels {f'INDEXED BY labels_by_{by}' if by else ''} CROSS JOIN sessions USING (session)"
