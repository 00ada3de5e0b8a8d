"""The projector: follows the feed from the checkpoint and writes every event into the tables exactly once.

Each batch is folded in memory and written in one transaction with the checkpoint, while the next one is read. Whatever
goes wrong with a write, what is in memory is dropped and the work begins again at the checkpoint: there is no other way
of starting.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from msgspec.structs import replace

from stageflow_es.engine.definitions import Library
from stageflow_es.engine.ports import BusError, Definitions, LogRecreated
from stageflow_es.errors import DefinitionError, OperatorError
from stageflow_es.log import logger
from stageflow_es.pipeline import Pipeline
from stageflow_es.projection.database import Unavailable, how_to_rebuild
from stageflow_es.projection.feed import EventFeed, FeedEvent, FeedReader
from stageflow_es.projection.folding import Change, Live
from stageflow_es.projection.gathering import BATCH, Gathering
from stageflow_es.projection.recent import Recent
from stageflow_es.projection.rows import BROKEN
from stageflow_es.projection.store import Checkpoint, Kept, Overtaken, Store
from stageflow_es.session.events import SessionStarted, decode

log = logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
DEFINITION_WITHIN = 30.0
LOOK_EVERY = 1.0
"""Seconds between two looks at the file while there is nothing to write."""
AT_ONCE = 64
"""Sessions folded before others in the process get their turn."""
IMAGES = 64 * 1024 * 1024
"""Bytes of snapshots to be written at a time, about: a batch has as many events as made so many in the one before."""
FIRST, GROWTH = 64, 16
"""Events of the first batch, of whose snapshots nothing is known yet: so many of a MiB each are just `IMAGES`. And how
many times as many as the last one a batch may have, for what comes may be larger than what came."""
REMEMBERED = 128 * 1024 * 1024
"""Bytes of snapshots whose sessions are kept in memory; the sessions themselves take several times that."""


class Projector:
    """Follows `feed` into `store`. `run` returns after `stop`; it raises OperatorError when only a person can help.

    `batch`: events of one transaction at most. `problem`: why nothing is being written just now, if so.
    """

    def __init__(self, feed: EventFeed, definitions: Definitions, store: Store, *, batch: int = BATCH) -> None:
        self.position = Checkpoint("", 0)
        self.problem: str | None = None
        self._feed = feed
        self._library = Library(definitions)
        self._store = store
        self._batch = batch
        self._recent = Recent(REMEMBERED)
        self._looked = 0.0
        self._stopping = False
        self._moved = asyncio.Condition()

    async def run(self) -> None:
        """Follow until `stop`. Locks, a full disk and a bus that is away are waited out."""
        pause = FIRST_PAUSE
        while not self._stopping:
            before = self.position
            try:
                await self._follow()
            except LogRecreated as problem:
                raise OperatorError(f"{problem}. {self._other_stream()}") from problem
            except (Unavailable, BusError) as problem:
                pause = FIRST_PAUSE if self.position != before else min(2 * pause, LONGEST_PAUSE)
                self.problem = str(problem)
                log.warning("projection_interrupted", problem=self.problem, seq=self.position.seq, again_in=pause)
                await asyncio.sleep(pause)

    async def run_until(self, asked: asyncio.Event) -> None:
        """`run` until that is set."""
        running, stopping = asyncio.create_task(self.run()), asyncio.create_task(asked.wait())
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        await self.stop()
        await running

    async def stop(self) -> None:
        """Let `run` finish what it has begun to write, and return."""
        self._stopping = True

    async def caught_up(self, seq: int) -> None:
        """Return once the event with this stream sequence, and all before it, are in the tables."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.position.seq >= seq)

    async def _follow(self) -> None:
        self._recent.clear()
        created, position = await self._begin()
        reader = await self._feed.open(position.seq)
        self.problem = None
        try:
            await self._project(reader, created, position)
        finally:
            await reader.close()

    async def _begin(self) -> tuple[str, Checkpoint]:
        """The stream's identity, and the position in the file, checked to be one in this stream."""
        stored = await self._store.checkpoint()
        created = await self._created(stored)
        if stored.created not in ("", created):
            raise OperatorError(f"the stream was created {created}, not {stored.created}. {self._other_stream()}")
        await self._reached(stored)
        return created, stored

    async def _created(self, stored: Checkpoint) -> str:
        """The stream's identity; before there is a stream, that of the first one there will be."""
        try:
            return await self._feed.created()
        except LogRecreated as problem:
            if stored.created:
                raise
            raise Unavailable("there is no stream of events yet; the first engine that connects makes it") from problem

    def _other_stream(self) -> str:
        return (
            f"{self._store.path} was made from another stream of events: restore that stream, or make the projection "
            f"anew. {how_to_rebuild(self._store.path)}"
        )

    async def _project(self, reader: FeedReader, created: str, position: Checkpoint) -> None:
        gathering = Gathering(reader, min(self._batch, FIRST))
        writing: asyncio.Task[None] | None = None
        try:
            while not self._stopping:
                events = await gathering.next()
                if writing is not None:
                    await writing
                    writing = None
                if not events:
                    await self._look(position)
                    continue
                changes = await self._fold(events)
                gathering.limit = min(self._next_limit(len(events), changes), GROWTH * gathering.limit)
                before, position = position, replace(position, created=created, seq=events[-1].seq)
                writing = asyncio.create_task(self._write(changes, before, position))
                del events, changes  # what is written is not to be held while the next ones are folded
        finally:
            if writing is not None:
                await writing

    async def _look(self, position: Checkpoint) -> None:
        """While nothing happens, look now and then whether the file is still the one that was written. Raises Overtaken
        when it is not: whoever removes a projection wants it anew, and not at the next event."""
        now = asyncio.get_running_loop().time()
        if now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        if (await self._store.checkpoint()).making != position.making:
            raise Overtaken("the file was replaced")

    def _next_limit(self, events: int, changes: Sequence[Change]) -> int:
        size = sum([len(change.image) for change in changes if change.image is not None])
        return max(min(self._batch, events * IMAGES // max(size, 1)), 1)

    async def _write(self, changes: Sequence[Change], before: Checkpoint, position: Checkpoint) -> None:
        await self._store.commit(changes, before, position)
        _log_broken(changes)
        await self._reached(position)

    async def _reached(self, position: Checkpoint) -> None:
        async with self._moved:
            self.position = position
            self._moved.notify_all()

    async def _fold(self, events: Sequence[FeedEvent]) -> list[Change]:
        """Fold a batch, session by session: sessions know nothing of each other."""
        by_session: defaultdict[str, list[FeedEvent]] = defaultdict(list)
        for event in events:
            by_session[event.session].append(event)
        known = {session: self._recent.take(session) for session in by_session}  # before one puts another out
        unknown = [session for session, live in known.items() if live is None]
        kept = await self._store.load(unknown) if unknown else {}
        changes = []
        for number, (session, news) in enumerate(by_session.items()):
            live = known.pop(session) or await self._recall(session, kept.get(session), news[0])
            change = live.fold(news)
            if change is not None:
                changes.append(change)
            self._recent.put(live)
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
        return changes

    async def _recall(self, session: str, kept: Kept | None, first: FeedEvent) -> Live:
        """A session that is not in memory: from its snapshot, or new with its first event."""
        if kept is not None and kept.problem is not None:
            return Live.broken(session, kept.problem)
        digest, image = (_digest_of(first), None) if kept is None else (kept.digest, kept.image)
        try:
            pipeline = await self._pipeline(digest) if digest else None
        except (OperatorError, DefinitionError) as missing:
            return Live.lost(session, str(missing))
        try:
            return Live(session, pipeline, image)
        except MemoryError:
            raise
        except Exception as fault:  # whatever is wrong with one session's snapshot, the others go on
            what = f"{type(fault).__name__}: {fault}"
            return Live.lost(session, f"its snapshot cannot be read ({what}): `stageflow rebuild` makes it anew")

    async def _pipeline(self, digest: str) -> Pipeline:
        """A definition. Raises OperatorError when there is none, DefinitionError when it is none, Unavailable."""
        pipeline = self._library.known(digest)
        if pipeline is not None:
            return pipeline
        try:
            async with asyncio.timeout(DEFINITION_WITHIN):
                return await self._library.by_digest(digest)
        except TimeoutError:
            raise Unavailable(f"the definition {digest} cannot be read from the bus") from None


def _log_broken(changes: Sequence[Change]) -> None:
    for row in (change.row for change in changes if change.row.status == BROKEN):
        log.error("session_broken", session=row.session, version=row.version, error=row.error)


def _digest_of(event: FeedEvent) -> str:
    """The digest in a history's first event; empty: it has none."""
    try:
        started = decode(event.data)
    except Exception:  # whatever is wrong with it is found when it is folded
        return ""
    return started.digest if isinstance(started, SessionStarted) else ""
