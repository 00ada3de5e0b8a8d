"""Making a projection anew from the first event on, beside the old one, which is used until the new one takes its
place.

The new tables are made in a file of their own and then copied over the old ones in one transaction: whoever reads
sees either, and a projector that is running finds its checkpoint moved and goes on from the new one.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from stageflow_es.engine.ports import Definitions
from stageflow_es.projection.database import BUSY_FOR, PRAGMAS, Damaged, Outdated, check_release, faults
from stageflow_es.projection.feed import EventFeed
from stageflow_es.projection.projector import Projector
from stageflow_es.projection.store import Store

_SUFFIXES = ("", "-wal", "-shm")


async def rebuild(path: Path, feed: EventFeed, definitions: Definitions) -> int:
    """Make the projection at `path` from all events there are now, and return how far in the stream it then is.

    A file that is damaged or of another release is kept as `<path>.old`. Raises OperatorError (also when the file is
    another program's), Unavailable, and BusError.
    """
    usable = await asyncio.to_thread(_usable, path)
    fresh = path.with_name(f"{path.name}.rebuild")
    _remove(fresh)
    last = await feed.last()
    await _project(fresh, feed, definitions, last)
    await asyncio.to_thread(_replace, fresh, path, usable)
    _remove(fresh)
    return last


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
    with faults(target), closing(sqlite3.connect(source)) as new, closing(sqlite3.connect(target)) as old:
        for pragma in (f"PRAGMA busy_timeout = {int(BUSY_FOR * 1000)}", *PRAGMAS):
            old.execute(pragma)
        new.backup(old)
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _remove(path: Path) -> None:
    for suffix in _SUFFIXES:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
