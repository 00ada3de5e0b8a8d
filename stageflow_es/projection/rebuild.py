"""Making a projection anew from the first event on, beside the old one, which is used until the new one takes its
place.

The new tables are made in a file of their own and then copied over the old ones in one transaction: whoever reads
sees either, and a projector that is running finds its checkpoint moved and goes on from the new one. What a rebuild
that was killed left behind is removed by the next.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from stageflow_es.engine.ports import Definitions
from stageflow_es.errors import OperatorError
from stageflow_es.projection.database import BUSY_FOR, PRAGMAS, Damaged, Outdated, check_release, faults
from stageflow_es.projection.feed import EventFeed
from stageflow_es.projection.projector import Projector
from stageflow_es.projection.store import Store

try:
    import fcntl
except ImportError:  # not on Windows; there nothing guards against two rebuilds of one file
    fcntl = None  # type: ignore[assignment]

_SUFFIXES = ("", "-wal", "-shm")


async def rebuild(path: Path, feed: EventFeed, definitions: Definitions) -> int:
    """Make the projection at `path` from all events there are now, and return how far in the stream it then is.

    A file that is damaged or of another release is kept as `<path>.old`. Raises OperatorError (also when the file is
    another program's, or a rebuild of it is under way), Unavailable, and BusError.
    """
    usable = await asyncio.to_thread(_usable, path)
    fresh = path.with_name(f"{path.name}.rebuild")
    with _alone(path):
        _remove(fresh)
        try:
            last = await feed.last()
            await _project(fresh, feed, definitions, last)
            await _finished(asyncio.create_task(asyncio.to_thread(_replace, fresh, path, usable)))
        finally:
            _remove(fresh)
    return last


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the file against other rebuilds, also of other processes. Raises OperatorError while there is one."""
    if fcntl is None:
        yield
        return
    lock = path.with_name(f"{path.name}.rebuild.lock")
    try:
        held = lock.open("ab")
    except OSError as error:
        raise OperatorError(f"{lock} cannot be made ({error}): check its directory and permissions") from error
    with held:
        if not _locked(held, lock):
            raise OperatorError(f"a rebuild of {path} is under way: wait until it is done, or end its process first")
        try:
            yield
        finally:
            lock.unlink()


def _locked(held: IO[bytes], lock: Path) -> bool:
    """Whether the lock is ours now. Who had it removed its file, and one that is there may be another's already."""
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(held.fileno()), lock.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        raise OperatorError(f"{lock} cannot be locked ({error}): keep the database on a local disk") from error


async def _finished(work: asyncio.Task[None]) -> None:
    """Wait for what a thread does, also when nobody wants it any more: it uses the files all the same."""
    try:
        await asyncio.shield(work)
    finally:
        await asyncio.wait({work})


async def _project(path: Path, feed: EventFeed, definitions: Definitions, last: int) -> None:
    store = Store(path)
    await store.checkpoint()  # with no events at all there are tables nevertheless
    projector = Projector(feed, definitions, store)
    running = asyncio.create_task(projector.run())
    reached = asyncio.create_task(projector.caught_up(last))
    try:
        await asyncio.wait({running, reached}, return_when=asyncio.FIRST_COMPLETED)
        await projector.stop()
        await running
    finally:
        running.cancel()
        reached.cancel()
        await store.close()


def _usable(path: Path) -> bool:
    """Whether the file at `path` can be written over. Raises OperatorError when it is not ours."""
    if not path.exists():
        return True
    try:
        with faults(path), closing(sqlite3.connect(path, timeout=BUSY_FOR)) as connection:
            check_release(connection, path)
            return True
    except (Damaged, Outdated):
        return False


def _replace(fresh: Path, path: Path, usable: bool) -> None:
    if usable:
        try:
            _copy(fresh, path)
            return
        except Damaged:  # deeper than its first pages
            pass
    for suffix in _SUFFIXES:
        if (part := Path(f"{path}{suffix}")).exists():
            part.replace(f"{path}.old{suffix}")
    _copy(fresh, path)


def _copy(source: Path, target: Path) -> None:
    """Replace what is in the target by what is in the source, in one transaction of the target."""
    made = f"{source.absolute().as_uri()}?mode=rw"  # a file that is gone is not taken for an empty one
    with faults(target), closing(sqlite3.connect(made, uri=True)) as new, closing(sqlite3.connect(target)) as old:
        for pragma in (f"PRAGMA busy_timeout = {int(BUSY_FOR * 1000)}", *PRAGMAS):
            old.execute(pragma)
        new.backup(old)
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
