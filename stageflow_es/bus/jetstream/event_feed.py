"""The feed of committed events on JetStream, for projections: the whole stream in order, and pages of one session's
events.
"""

from __future__ import annotations

from msgspec.structs import replace

from stageflow_es.bus.feed_event import FeedEvent
from stageflow_es.bus.jetstream.direct_get import from_leader, page
from stageflow_es.bus.jetstream.incoming import text_of
from stageflow_es.bus.jetstream.link import NO_STREAM, ApiError, Link
from stageflow_es.bus.jetstream.log_identity import created
from stageflow_es.bus.jetstream.log_reader import Delivery, LogReader
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import LogRecreated, StoredEvent, Unanswered
from stageflow_es.session.ids import is_session_id

_PULL = 5_000
"""Messages asked for at a time: a projection that catches up reads far more than a partition's engine."""


class JetStreamEventFeed:
    """Reads the events' stream, which an engine has made."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._link = link
        self._names = Names(settings.prefix)
        self._before_session = len(self._names.event(""))
        self._settings = replace(settings, pull=max(settings.pull, _PULL))

    async def created(self) -> str:
        return await created(self._link, self._names.events)

    async def last(self) -> int:
        try:
            info = await self._link.api(f"STREAM.INFO.{self._names.events}")
        except ApiError as error:
            if error.number == NO_STREAM:
                raise LogRecreated(f"the stream {self._names.events} is gone") from error
            raise Unanswered(f"the stream {self._names.events} cannot be looked at: {error}") from error
        return int(info["state"]["last_seq"])

    async def open(self, after: int) -> LogReader:
        """A reader of `FeedEvent`. Without a filter, for the stream has nothing but events: to find what a wildcard
        matches takes the server, far from the log's end, several times as long as to send it."""
        reader = LogReader(self._link, self._settings, self._names.events, [], after, self._parse, bursts=True)
        return await reader.start()

    async def page(self, session: str, after: int, limit: int) -> list[StoredEvent]:
        if not is_session_id(session):
            return []
        stored = await page(self._link, self._names.events, self._names.event(session), after + 1, limit)
        return [StoredEvent(event.seq, event.data) for event in stored]

    async def next(self, session: str, after: int) -> StoredEvent | None:
        """From the leader, where pages may come from a replica that lags behind. Where there is no such event, this
        takes the server a tenth of the time that an empty page takes it."""
        if not is_session_id(session):
            return None
        query = {"seq": after + 1, "next_by_subj": self._names.event(session)}
        found = await from_leader(self._link, self._names.events, query)
        return None if found is None else StoredEvent(found.seq, found.data)

    def _parse(self, delivery: Delivery) -> FeedEvent:
        return FeedEvent(delivery.seq, text_of(delivery.subject[self._before_session :]), delivery.data)
