"""A session's stored events: from the query service, or straight from the stream where none answers.

Either way what comes is as it was stored, byte by byte, in order and without gaps but for the one before
`session_archived`, where what came before it was purged.
"""

from __future__ import annotations

import msgspec

from stageflow_es.bus.jetstream.direct_get import from_leader, page
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.queries import NoQueries, Queries, QueryRefused

PAGE = 500


class Record(msgspec.Struct, frozen=True):
    """One stored event: its number in the session, its bytes, and its place in the stream (0: not known)."""

    n: int
    data: bytes
    seq: int = 0


class _Number(msgspec.Struct, frozen=True):
    n: int


_number = msgspec.json.Decoder(_Number)


def record(data: bytes, seq: int = 0) -> Record:
    """The record of an event's bytes."""
    return Record(_number.decode(data).n, data, seq)


class Journal:
    """Reads the history of one session, page by page, from where it got to."""

    def __init__(self, link: Link, names: Names, queries: Queries, session: str, start: int = 1) -> None:
        self.next = start
        self._link = link
        self._names = names
        self._queries = queries
        self._session = session
        self._seq = 0

    def saw(self, seen: Record) -> None:
        """Go on after this one: it was delivered live."""
        self.next = seen.n + 1
        self._seq = seen.seq or self._seq

    async def read(self) -> list[Record]:
        """The next stored events; none: there are no more now. Raises BusError."""
        try:
            found = [record(bytes(data)) for data in await self._queries.history(self._session, self.next, PAGE)]
        except (NoQueries, QueryRefused):
            found = await self._direct()
        if found:
            self.saw(found[-1])
        return found

    async def _direct(self) -> list[Record]:
        """From the stream; only its sequence is an index, so the first read may have to begin at the beginning."""
        subject = self._names.event(self._session)
        while True:
            stored = await page(self._link, self._names.events, subject, self._seq + 1, PAGE)
            if not stored:  # a replica may lag behind; the leader does not
                query = {"seq": self._seq + 1, "next_by_subj": subject}
                last = await from_leader(self._link, self._names.events, query)
                stored = [last] if last else []
            if not stored:
                return []
            self._seq = stored[-1].seq
            wanted = [one for one in (record(item.data, item.seq) for item in stored) if one.n >= self.next]
            if wanted:
                return wanted
