"""SQLite in a thread of its own, and its errors by whose fault they are.

A connection belongs to one file, not to one name: when the file at the path was replaced or removed, which is how a
projection is rebuilt, the next call opens what is there now.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from stageflow_es.errors import OperatorError, StageFlowError
from stageflow_es.projection.schema import META

T = TypeVar("T")

BUSY_FOR = 5.0
"""Seconds a lock of another process is waited for."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FORBIDDEN = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_SCHEMA,
}
PRAGMAS = (
    "PRAGMA page_size = 8192",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -65536",
    "PRAGMA temp_store = MEMORY",
)


class Unavailable(StageFlowError):
    """The file cannot be used just now: it is locked, or the disk is full. What was to be written is not written."""


class Damaged(OperatorError):
    """The file is not a database any more."""


class Outdated(OperatorError):
    """The file was made by another release."""


class Database:
    """The SQLite file at `path`, used from one thread. `prepare` is called with every new connection; `create` makes
    the file where there is none, without it the file is only read."""

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None], *, create: bool) -> None:
        self.path = path
        self._prepare = prepare
        self._create = create
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"sqlite-{path.name}")
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """What `work` returns for a connection to the file. It is begun at once, in the order of these calls, awaited
        or not. Raises Unavailable, and OperatorError when that does not mend itself."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def close(self) -> None:
        """Finish what is under way and let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._drop)
        self._thread.shutdown(wait=False)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            with faults(self.path):
                return work(self._current())
        except BaseException:
            self._drop()
            raise

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self._file != _identity(self.path):
            self._drop()
        if self._connection is None:
            self._connection = _open(self.path, create=self._create)
            self._file = _identity(self.path)
            self._prepare(self._connection)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_FOR, isolation_level=None, check_same_thread=False)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        if not create:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def check_release(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file has our tables; false: it has none at all. Raises Outdated, OperatorError."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return False
    found = dict(connection.execute("SELECT name, value FROM meta")) if "meta" in tables else {}
    if "stageflow_projection" not in found:
        raise OperatorError(f"{path} is another program's database: name another file for the projection")
    if found != META:
        raise Outdated(f"{path} was made by another release of this program. {how_to_rebuild(path)}")
    return True


def how_to_rebuild(path: Path) -> str:
    """What to do about a file that is of no use."""
    return (
        f"Nothing is lost, for all of it follows from the events: run `stageflow rebuild --db {path}`, or stop the "
        "projector, remove the file, and start it again"
    )


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _DAMAGED:
            raise Damaged(f"{path} is damaged ({error}). {how_to_rebuild(path)}") from error
        if code & 0xFF in _FORBIDDEN or code == sqlite3.SQLITE_READONLY:
            raise OperatorError(f"{path} cannot be used ({error}): check its directory and permissions") from error
        if code & 0xFF in _PASSING:
            raise Unavailable(f"{path}: {error}") from error
        raise
