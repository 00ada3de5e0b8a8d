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
from stageflow_es.errors import OperatorError
from stageflow_es.projection.database import BUSY_FOR
from stageflow_es.projection.feed import EventFeed
from stageflow_es.projection.projector import Projector
from stageflow_es.projection.store import Store

_SUFFIXES = ("", "-wal", "-shm")


async def rebuild(path: Path, feed: EventFeed, definitions: Definitions) -> int:
    """Make the projection at `path` from all events there are now, and return how far in the stream it then is.

    A file that is no projection, or is damaged, is kept beside the new one under `<path>.old`. Raises OperatorError,
    BusError.
    """
    fresh = path.with_name(f"{path.name}.rebuild")
    _remove(fresh)
    last = await feed.last()
    await _project(Store(fresh), feed, definitions, last)
    await asyncio.to_thread(_replace, fresh, path)
    return last


async def _project(store: Store, feed: EventFeed, definitions: Definitions, last: int) -> None:
    projector = Projector(feed, definitions, store)
    running = asyncio.create_task(projector.run())
    reached = asyncio.create_task(projector.caught_up(last))
    try:
        await asyncio.wait({running, reached}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reached.cancel()
        await projector.stop()
        await running
        await store.close()


def _replace(fresh: Path, path: Path) -> None:
    try:
        _copy(fresh, path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_NOTADB: ...
