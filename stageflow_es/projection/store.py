"""The projector's side of the file: a batch's changes and the checkpoint, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import randbelow

import msgspec

from stageflow_es.projection.database import Database, Unavailable, check_release
from stageflow_es.projection.folding import Change
from stageflow_es.projection.rows import BROKEN, Row
from stageflow_es.projection.schema import INDEXES, META, TABLES, TRIGGERS
from stageflow_es.projection.upsert import Upsert

_AT_ONCE = 500
"""Parameters of one statement."""
_MAKINGS = (1 << 31) - 1
"""Numbers of makings there are: the file's header has 32 bits for one, with a sign."""

_CHANGING = (
    "status",
    "version",
    "nodes",
    "waiting_for",
    "result",
    "artifacts",
    "error",
    "updated_at",
    "finished_at",
    "head",
    "seq",
)
"""What events after the first one change: the rest of a row, and the indexes on it, are left alone."""


_put_session = Upsert(
    "sessions",
    Row._fields,
    f"ON CONFLICT (session) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CHANGING)}",
)
_put_snapshot = Upsert(
    "snapshots",
    ("session", "version", "state"),
    "ON CONFLICT (session) DO UPDATE SET version = excluded.version, state = excluded.state",
)
_put_label = Upsert(
    "labels",
    ("name", "value", "started_at", "session", "status", "pipeline"),
    "ON CONFLICT DO UPDATE SET status = excluded.status WHERE status <> excluded.status",
)
_put_mark = Upsert("marks", ("session", "n", "seq"), "ON CONFLICT DO UPDATE SET seq = excluded.seq")


class Overtaken(Unavailable):
    """Another projector has moved the checkpoint of this file, or a rebuild has made its tables anew."""


class Checkpoint(msgspec.Struct, frozen=True):
    """How far the file has come, and in which stream; `created` is empty before the first event. `making`: which
    making of the tables it is, for those that a rebuild puts in their place may have come just as far."""

    created: str
    seq: int
    making: int = 0


class Kept(msgspec.Struct, frozen=True):
    """What is stored of a session to fold on from. `problem`: why it is broken, if it is."""

    digest: str
    image: bytes | None
    problem: str | None


class Store:
    """The tables in the file at `path`, which is made when it is missing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = Database(path, self._prepare, create=True)

    def checkpoint(self) -> Awaitable[Checkpoint]:
        """How far the tables are. Raises OperatorError, Unavailable; so do the others."""
        return self._database.run(_checkpoint)

    def load(self, sessions: Collection[str]) -> Awaitable[dict[str, Kept]]:
        """What is stored of these sessions; those unknown are left out. Sees every `commit` begun before it."""
        return self._database.run(lambda connection: _load(connection, list(sessions)))

    def commit(self, changes: Sequence[Change], before: Checkpoint, after: Checkpoint) -> Awaitable[None]:
        """Write changes and move the checkpoint, all or nothing; begun at once, awaited or not. Raises Overtaken when
        the checkpoint is not at `before`. Both are of one making of the tables."""
        return self._database.run(lambda connection: _commit(connection, changes, before, after))

    async def close(self) -> None:
        await self._database.close()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not check_release(connection, self.path):
            _create(connection, self.path)


def _checkpoint(connection: sqlite3.Connection) -> Checkpoint:
    created, seq = connection.execute("SELECT stream_created, seq FROM checkpoint").fetchone()
    return Checkpoint(created, seq, _making(connection))


def _making(connection: sqlite3.Connection) -> int:
    """The number the tables got when they were made. It is kept in the file's header and goes with every copy."""
    (making,) = connection.execute("PRAGMA user_version").fetchone()
    return int(making)


def _create(connection: sqlite3.Connection, path: Path) -> None:
    with _transaction(connection):
        if check_release(connection, path):  # another process was faster
            return
        for statement in (*f"{TABLES} {INDEXES}".split(";"), *TRIGGERS):
            connection.execute(statement)
        connection.executemany("INSERT INTO meta VALUES (?, ?)", META.items())
        connection.execute(f"PRAGMA user_version = {1 + randbelow(_MAKINGS)}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _load(connection: sqlite3.Connection, sessions: list[str]) -> dict[str, Kept]:
    found: dict[str, Kept] = {}
    for start in range(0, len(sessions), _AT_ONCE):
        part = sessions[start : start + _AT_ONCE]
        question = (
            "SELECT session, digest, state, status, error FROM sessions LEFT JOIN snapshots USING (session) "
            f"WHERE session IN ({', '.join('?' * len(part))})"
        )
        for session, digest, image, status, error in connection.execute(question, part):
            problem = msgspec.json.decode(error)["message"] if status == BROKEN else None
            found[session] = Kept(digest, image, problem)
    return found


def _commit(connection: sqlite3.Connection, changes: Sequence[Change], before: Checkpoint, after: Checkpoint) -> None:
    with _transaction(connection):
        moved = connection.execute(
            "UPDATE checkpoint SET stream_created = ?, seq = ? WHERE stream_created = ? AND seq = ?",
            (after.created, after.seq, before.created, before.seq),
        )
        if moved.rowcount != 1 or _making(connection) != before.making:
            raise Overtaken("the checkpoint was moved by another projector or a rebuild")
        _forget(connection, [change.row.session for change in changes if change.anew])
        _write(connection, changes)


def _write(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    _put_session(connection, (change.row for change in changes))
    _put_snapshot(connection, _snapshots(changes))
    _put_label(connection, _labels(changes))
    _put_mark(connection, ((change.row.session, *mark) for change in changes for mark in change.marks))


def _snapshots(changes: Iterable[Change]) -> Iterable[tuple[str, int, bytes]]:
    return ((change.row.session, change.row.version, change.image) for change in changes if change.image is not None)


def _labels(changes: Iterable[Change]) -> Iterable[tuple[str | None, ...]]:
    for change in changes:
        row = change.row
        for name, value in change.labels.items():
            yield name, value, row.started_at, row.session, row.status, row.pipeline


def _forget(connection: sqlite3.Connection, sessions: Iterable[str]) -> None:
    """Remove all there is of sessions, so that what is written of them next is all there is."""
    for session in sessions:
        question = "SELECT labels, started_at FROM sessions WHERE session = ?"
        for labels, started_at in connection.execute(question, (session,)).fetchall():
            for name, value in msgspec.json.decode(labels).items():
                key = name, value, started_at, session
                connection.execute("DELETE FROM labels WHERE (name, value, started_at, session) = (?, ?, ?, ?)", key)
        for table in ("sessions", "snapshots", "marks"):
            connection.execute(f"DELETE FROM {table} WHERE session = ?", (session,))
