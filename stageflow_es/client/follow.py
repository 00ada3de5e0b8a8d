"""Following a session: its stored events first, then the live ones, each exactly once and in order.

Live delivery may lose messages (a slow reader, a reconnect). Every event carries its number, so a gap shows with the
next one, and what is missing is read from the history; the end of a stream cannot show a gap, so after some seconds
of silence the history is asked whether there is more.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.journal import Journal, Record, record
from stageflow_es.client.queries import Queries
from stageflow_es.engine.ports import Unanswered
from stageflow_es.session import events as ev

SILENCE = 3.0
"""Seconds without a live event after which the history is asked."""
UNREADABLE = 5
"""How often in a row the history may fail to answer before a follower gives up."""
PENDING = 4096
"""Live events kept for a slow reader; what comes beyond that is read from the history later."""

FINAL = frozenset({"session_completed", "session_failed", "session_stopped", "session_archived"})
REOPENED = "session_retried"


class UnknownEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a type that is newer than this release; `data` has all of it."""

    type: str
    session: str
    n: int
    at: str
    data: bytes = b""


class _Type(msgspec.Struct, frozen=True):
    type: str


_type = msgspec.json.Decoder(_Type)


def type_of(data: bytes) -> str:
    """An event's type, from its bytes."""
    return _type.decode(data).type


def decode(data: bytes) -> ev.AnyEvent | UnknownEvent:
    """An event from its stored bytes."""
    try:
        return ev.decode(data)
    except msgspec.ValidationError:
        unknown = msgspec.json.decode(data, type=UnknownEvent)
        return msgspec.structs.replace(unknown, data=data)


class Follower:
    """One follower of one session. `follow_on`: do not end with the session."""

    def __init__(
        self, link: Link, names: Names, queries: Queries, session: str, *, start: int = 1, follow_on: bool = False
    ) -> None:
        self._link = link
        self._subject = names.event(session)
        self._journal = Journal(link, names, queries, session, start)
        self._whole = Journal(link, names, queries, session)
        self._follow_on = follow_on
        self._seen = False
        self._ended = False
        self._unread = 0

    async def events(self) -> AsyncGenerator[bytes]:
        """The events' bytes. Raises BusError where the bus does not let us read."""
        live = await self._link.client.subscribe(self._subject, pending_msgs_limit=PENDING)
        try:
            await self._link.client.flush()
            async for data in self._stored(tries=1):
                yield data
            while not await self._over():
                message = await _next(live)
                new = self._live(message) if message is not None else None
                if new is not None:
                    yield self._note(new)
                elif message is None or record(message.data).n > self._journal.next:
                    async for data in self._stored():
                        yield data
        finally:
            await _close(live)

    async def _stored(self, tries: int = UNREADABLE) -> AsyncGenerator[bytes]:
        """What the history has more; nothing while the server is away, until that was so for too many `tries`."""
        try:
            while found := await self._journal.read():
                for one in found:
                    yield self._note(one)
            self._unread = 0
        except Unanswered:
            self._unread += 1
            if self._unread >= tries and not self._link.client.is_reconnecting:
                raise

    def _live(self, message: Msg) -> Record | None:
        """The next event, if this is it."""
        new = record(message.data, int((message.headers or {}).get("Nats-Sequence", 0)))
        if new.n != self._journal.next:
            return None
        self._journal.saw(new)
        return new

    def _note(self, one: Record) -> bytes:
        self._seen = True
        kind = type_of(one.data)
        if kind in FINAL:
            self._ended = True
        elif kind == REOPENED:
            self._ended = False
        return one.data

    async def _over(self) -> bool:
        """Whether to stop. One who begins behind the end of a session that is over has to look back for it."""
        if self._follow_on:
            return False
        if not self._seen:
            self._seen = True
            while found := await self._whole.read():
                for one in found:
                    self._note(one)
        return self._ended


async def _next(live: Subscription) -> Msg | None:
    """The next live message; None after some silence."""
    try:
        message: Msg = await live.next_msg(timeout=SILENCE)
    except (nats_errors.TimeoutError, TimeoutError):
        return None
    except nats_errors.Error as problem:
        raise Unanswered(f"the connection is closed: {problem}") from problem
    return message


async def _close(live: Subscription) -> None:
    try:
        await live.unsubscribe()
    except (nats_errors.Error, OSError):
        return
