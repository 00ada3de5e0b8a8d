"""A session's history as an auditor reads it: straight from the stream, whatever its bytes are, up to the last event
that the stream's leader had when it was asked."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from stageflow_es.audit import HistoryBroken, export_header
from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.direct_get import Stored, from_leader, page
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.queries import NOT_FOUND, QueryRefused
from stageflow_es.errors import OperatorError, Problem
from stageflow_es.pipeline import Pipeline, digest_of
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of
from stageflow_es.session.spelling import Unreadable, read
from stageflow_es.session.verify import Broken, Verified, Verifier

PAGE = 500


class Record:
    """The stored history of one session, up to the event that was the last when it was opened.

    `pipeline` is the definition it began with, None when its first event does not say; `first` and `last` are the bytes
    of its first and last event. Made with `open`.
    """

    def __init__(
        self, link: Link, names: Names, session: str, first: Stored, last: Stored, pipeline: Pipeline | None
    ) -> None:
        self.session = session
        self.pipeline = pipeline
        self.first = first.data
        self.last = last.data
        self._end = last.seq
        self._link = link
        self._names = names

    @classmethod
    async def open(cls, link: Link, names: Names, definitions: JetStreamDefinitions, session: str) -> Record:
        """Raises QueryRefused when there are no events, OperatorError when the definition is not stored or the bus does
        not answer."""
        subject = names.event(session)
        last = await from_leader(link, names.events, {"last_by_subj": subject})
        first = await from_leader(link, names.events, {"seq": 1, "next_by_subj": subject})
        if first is None or last is None:
            raise QueryRefused(NOT_FOUND, [Problem(message=f"there are no events of session {session}")])
        return cls(link, names, session, first, last, await _pinned(definitions, first.data))

    async def events(self) -> AsyncGenerator[bytes]:
        """The events' bytes, in order. Raises OperatorError where they are not there any more."""
        seq = 0
        while seq < self._end:
            found = await self._after(seq)
            if not found or found[0].seq > self._end:  # what is left of an archived session is behind its end
                raise OperatorError(f"the events of session {self.session} were purged while they were read")
            for stored in found:
                if stored.seq <= self._end:
                    yield stored.data
            seq = found[-1].seq

    async def _after(self, seq: int) -> list[Stored]:
        """The next of the session's events; none: there are none."""
        stream, subject = self._names.events, self._names.event(self.session)
        found = await page(self._link, stream, subject, seq + 1, PAGE)
        if not found:  # a replica may lag behind; the leader does not
            last = await from_leader(self._link, stream, {"seq": seq + 1, "next_by_subj": subject})
            found = [last] if last else []
        return found

    async def verify(self, *, head: str | None = None, count: int | None = None) -> Verified | Broken:
        """Verify all of it; its end is what the leader said it is. `head` and `count`: as in `verify_history`."""
        verifier = Verifier(self.pipeline, self.session)
        async with aclosing(self.events()) as events:
            async for data in events:
                broken = verifier.check(data)
                if broken is not None:
                    return broken
        return verifier.finish(head=hash_of(self.last)) and verifier.finish(head=head, count=count)

    async def export(self) -> AsyncGenerator[bytes]:
        """The lines of an export. It is of what is stored, whether it verifies or not. Raises HistoryBroken when the
        events do not say what belongs in its header."""
        yield export_header(self.whole(), self.session, self.last, self._count())
        async with aclosing(self.events()) as events:
            async for data in events:
                yield data + b"\n"

    def whole(self) -> Pipeline:
        """The pipeline. Raises HistoryBroken when the first event does not name one."""
        if self.pipeline is None:
            broken = Verifier(None, self.session).check(self.first)
            assert broken is not None
            raise HistoryBroken(broken)
        return self.pipeline

    def _count(self) -> int:
        try:
            return read(self.last).n
        except Unreadable as problem:
            broken = Broken(session=self.session, n=0, kind="bytes", message=f"the last event: {problem}")
            raise HistoryBroken(broken) from None


async def _pinned(definitions: JetStreamDefinitions, first: bytes) -> Pipeline | None:
    """The definition a first event names; None: it names none."""
    try:
        event = read(first)
    except Unreadable:
        return None
    if not isinstance(event, ev.SessionStarted):
        return None
    data = await definitions.get(event.digest)
    if data is None:
        raise OperatorError(f"definition {event.digest} is not stored: was the pipelines bucket deleted?")
    if digest_of(data) != event.digest:
        raise OperatorError(f"definition {event.digest} does not have that digest: it was changed after it was stored")
    return Pipeline.trusted(data)
