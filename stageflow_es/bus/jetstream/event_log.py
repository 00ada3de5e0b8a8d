"""The event log: one subject a session in one stream, appended to with the session's expected last
sequence.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import lru_cache

from stageflow_es.bus.jetstream.append import Append
from stageflow_es.bus.jetstream.command_log import purge
from stageflow_es.bus.jetstream.direct_get import from_leader, page
from stageflow_es.bus.jetstream.group_commit import GroupCommit
from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names, check_session_id
from stageflow_es.engine.ports import Refused, StoredEvent, Unanswered
from stageflow_es.engine.vitals import Commits
from stageflow_es.session.ids import is_session_id

_HEADERS = 512
"""More than the headers of an append take of the server's max_payload."""
_LARGEST_APPEND = 32 * 1024 * 1024
_FEW = 4
"""Events that are read one by one. Of a page the server first counts what follows it in the stream, block by block,
and loads the blocks it does not have at hand: in a stream of a million events that takes longer than a few questions.
"""
_SUBJECTS = 4096
"""Sessions whose subject is kept at hand."""


class JetStreamEventLog:
    """`EventLog` on JetStream; see there for what each method promises."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._link = link
        self._settings = settings
        self._names = Names(settings.prefix)
        self._in_cluster: tuple[int, bool] | None = None
        self._subject = lru_cache(_SUBJECTS)(self._subject_of)
        batches = link.client.new_inbox().rsplit(".", 1)[1]
        self._commit = GroupCommit(link, settings, batches, self.head, self._owner, self._clustered)

    def append(self, session: str, events: Sequence[bytes], expected: int) -> Awaitable[int]:
        size = len(events[0]) if len(events) == 1 else sum(map(len, events))  # most appends are one event
        append = Append(session, self._subject(session), events, expected, size)
        try:
            self._check(append)
        except Refused as problem:
            append.failed(problem)
        else:
            self._commit.submit(append)
        return append.answer

    def commits(self) -> Commits:
        """What became durable since this was asked last."""
        return self._commit.tally.take()

    async def head(self, session: str) -> StoredEvent | None:
        if not is_session_id(session):
            return None
        stored = await from_leader(self._link, self._names.events, {"last_by_subj": self._names.event(session)})
        return StoredEvent(stored.seq, stored.data) if stored else None

    async def first(self, session: str) -> StoredEvent | None:
        found = await self._found(session, 0, 1) if is_session_id(session) else []
        return found[0] if found else None

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        if upto is None:
            head = await self.head(session)
            upto = head.seq if head else 0
        one_by_one = _FEW if about is not None and about <= _FEW else 0
        events: list[StoredEvent] = []
        began = after
        while after < upto:
            part = await self._part(session, after, one=len(events) < one_by_one)
            events += part
            after = part[-1].seq
        while events and events[-1].seq > upto:
            events.pop()
        if (events[-1].seq if events else began) < upto:  # what is left of an archived session is behind all there was
            raise _purged(session)
        return events

    async def forget(self, session: str, before: int) -> None:
        """Forget the session's events with a sequence below `before`; its last event always stays. Raises
        Unanswered."""
        head = await self.head(session)
        if head is not None:
            await purge(self._link, self._names.events, self._names.event(session), min(before, head.seq) - 1)

    async def close(self) -> None:
        await self._commit.close()

    async def _part(self, session: str, after: int, *, one: bool) -> list[StoredEvent]:
        """The next events there are, at least one; `one`: and no more."""
        found = await (self._next(session, after) if one else self._found(session, after, self._settings.page))
        if not found:
            raise _purged(session)
        return found

    async def _found(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        """The next events: from a page, or one from the leader when a replica lags behind; none: there are none."""
        subject = self._names.event(session)
        found = await page(self._link, self._names.events, subject, after + 1, limit)
        if not found:
            return await self._next(session, after)
        return [StoredEvent(stored.seq, stored.data) for stored in found]

    async def _next(self, session: str, after: int) -> list[StoredEvent]:
        """The next event, from the leader; none: there is none."""
        query = {"seq": after + 1, "next_by_subj": self._names.event(session)}
        stored = await from_leader(self._link, self._names.events, query)
        return [StoredEvent(stored.seq, stored.data)] if stored else []

    async def _owner(self, seq: int) -> str | None:
        stored = await from_leader(self._link, self._names.events, {"seq": seq})
        return self._names.session_of_event(stored.subject) if stored else None

    async def _clustered(self) -> bool:
        """Whether the stream is a cluster's, which can keep copies of it on several servers at any time. A server that
        is alone has to be started again to be one's, so this is asked once for a connection."""
        if self._in_cluster is None or self._in_cluster[0] != self._link.reconnects:
            reconnects = self._link.reconnects
            try:
                info = await self._link.api(f"STREAM.INFO.{self._names.events}")
            except (ApiError, Unanswered):
                return True
            self._in_cluster = reconnects, bool((info.get("cluster") or {}).get("name"))
        return self._in_cluster[1]

    def _subject_of(self, session: str) -> bytes:
        return self._names.append(check_session_id(session)).encode()

    def _check(self, append: Append) -> None:
        session, events = append.session, append.events
        limit = self._link.client.max_payload - _HEADERS
        if 0 < len(events) <= self._settings.batch_messages and append.size <= limit:
            return
        if not 0 < len(events) <= self._settings.batch_messages:
            most = self._settings.batch_messages
            raise Refused(f"session {session}: {len(events)} events in one append; 1 to {most} can be stored together")
        if (largest := max(map(len, events))) > limit:
            raise Refused(f"session {session}: an event of {largest:,} bytes; the server takes {limit:,}")
        if append.size > _LARGEST_APPEND:
            raise Refused(f"session {session}: an append of more than {_LARGEST_APPEND:,} bytes")


def _purged(session: str) -> Refused:
    return Refused(f"session {session}: its history was purged while it was read")
