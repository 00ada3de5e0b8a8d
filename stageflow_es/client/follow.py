"""Following a session: its stored events first, then the live ones, each exactly once and in order.

Live delivery may lose messages (a slow reader, a reconnect). Every event carries its number, so a gap shows with the
next one, and what is missing is read from the history; the end of a stream cannot show a gap, so after some seconds
of silence the history is asked whether there is more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress

import msgspec

from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Absent, Denied, Link
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
"""Live events kept for a slow reader, the newest; what came before is read from the history."""

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
        self._start = start
        self._follow_on = follow_on
        self._ended = False
        self._known = 0
        self._unread = 0

    async def events(self) -> AsyncGenerator[bytes]:
        """The events' bytes. Raises BusError where the bus does not let us read."""
        live = _Live()
        listener = await self._link.client.listen(self._subject, live.take)
        try:  # the server hears of the listener before it is asked for the history
            async for data in self._stored(first=True):
                yield data
            while not await self._over():
                message = await live.next()
                new = self._live(message) if message is not None else None
                if new is not None:
                    yield self._note(new)
                elif message is None or record(message.data).n > self._journal.next:
                    async for data in self._stored():
                        yield data
        finally:
            await listener.close()

    async def _stored(self, *, first: bool = False) -> AsyncGenerator[bytes]:
        """What the history has more; nothing while the server is away, until that was so too often. Who hears at
        `first` that nobody has a history, or none for this user, waits for none, nor does who closed the connection.
        """
        try:
            while found := await self._journal.read():
                for one in found:
                    yield self._note(one)
            self._unread = 0
        except Unanswered as problem:
            self._unread += 1
            hopeless = self._link.client.is_closed or (first and isinstance(problem, Absent | Denied))
            if (hopeless or self._unread >= UNREADABLE) and not self._link.client.is_reconnecting:
                raise

    def _live(self, message: Incoming) -> Record | None:
        """The next event, if this is it."""
        new = record(message.data, int(message.headers.get("Nats-Sequence", 0)))
        if new.n != self._journal.next:
            return None
        self._journal.saw(new)
        return new

    def _note(self, one: Record) -> bytes:
        kind = type_of(one.data)
        if kind in FINAL:
            self._ended = True
        elif kind == REOPENED:
            self._ended = False
        return one.data

    async def _over(self) -> bool:
        """Whether to stop. One who begins behind what there is has to look back for the session's end, until what it
        began at comes."""
        if self._follow_on:
            return False
        if self._journal.next == self._start > 1:
            with suppress(Unanswered):
                await self._look_back()
        return self._ended and self._known < self._journal.next

    async def _look_back(self) -> None:
        while found := await self._whole.read():
            for one in found:
                if one.n < self._start:
                    self._note(one)
            self._known = found[-1].n


class _Live:
    """The live messages, as they come in."""

    def __init__(self) -> None:
        self._messages: deque[Incoming] = deque(maxlen=PENDING)
        self._stirred = asyncio.Event()

    def take(self, message: Incoming) -> None:
        self._messages.append(message)
        self._stirred.set()

    async def next(self) -> Incoming | None:
        """The next message; None after some silence."""
        if not self._messages:
            self._stirred.clear()
            try:
                async with asyncio.timeout(SILENCE):
                    await self._stirred.wait()
            except TimeoutError:
                return None
        return self._messages.popleft()
