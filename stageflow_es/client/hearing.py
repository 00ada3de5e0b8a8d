"""Hearing what is said of sessions whose commands are under way: their events, and their rejections.

A few sessions are listened to one by one. Many at once are heard through one subscription to all events and one to all
rejections: two of its own cost a session more than the rest of its command, both here and at the server. A user who
may not hear all goes on one by one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container

from stageflow_es.bus.jetstream.connection import Connection, Denial, Listener
from stageflow_es.bus.jetstream.incoming import TakeParts
from stageflow_es.bus.jetstream.subjects import Names

MANY = 24
"""Sessions from which on all are heard."""

Take = Callable[[bool, bytes], None]
"""Takes a message: whether it is a rejection, or an event; and its bytes."""


class Hearing:
    """Hands over what is said of a session to those who asked for it, as soon as it is read."""

    def __init__(self, client: Connection, names: Names) -> None:
        self._client = client
        self._names = names
        self._all = names.event("*"), names.every_rejection()
        self._takes: dict[bytes, list[Take]] = {}
        self._single: dict[bytes, list[Listener]] = {}
        self._whole: list[Listener] = []
        self._may_hear_all = True
        self._changing = asyncio.Lock()
        client.when_denied(self._denied)

    async def begin(self, session: str, take: Take) -> None:
        """What is published of the session after this goes to `take`, until `end`. Raises Unanswered."""
        key = session.encode()
        self._takes.setdefault(key, []).append(take)
        if self._hears(key):
            return
        async with self._changing:
            if self._hears(key):
                return
            if self._may_hear_all and len(self._takes) >= MANY and key not in self._single:
                await self._listen(self._all, self._whole, self._single)
            else:
                subjects = self._names.event(session), self._names.rejection(session)
                await self._listen(subjects, self._single.setdefault(key, []), ())

    async def end(self, session: str, take: Take) -> None:
        """Hand over nothing more to this one, whether its `begin` came to its end or not."""
        key = session.encode()
        takes = self._takes[key]
        takes.remove(take)
        needless: list[Listener] = []
        if not takes:
            del self._takes[key]
            needless += self._single.pop(key, [])
        if not self._takes:
            needless += self._whole
            self._whole = []
        for listener in needless:
            await listener.close()

    def _hears(self, key: bytes) -> bool:
        listeners = self._whole if self._may_hear_all else []
        return len(self._single.get(key, listeners)) == len(self._all)

    async def _listen(self, subjects: tuple[str, str], listeners: list[Listener], but: Container[bytes]) -> None:
        for rejected, subject in list(enumerate(subjects))[len(listeners) :]:
            taking = self._taking(bool(rejected), subject, but)
            listeners.append(await self._client.listen_to_parts(subject, taking))

    def _taking(self, rejected: bool, pattern: str, but: Container[bytes]) -> TakeParts:
        """`but`: sessions that are heard otherwise."""
        before, takes = pattern.rindex(".") + 1, self._takes

        def taking(subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
            session = subject[before:]
            if session not in but:
                for take in takes.get(session, ()):
                    take(rejected, data)

        return taking

    def _denied(self, denial: Denial) -> None:
        """Whoever was to hear through what is denied finds the answer in what is stored, a little later."""
        if denial.verb == "subscribe" and denial.subject in {subject.lower() for subject in self._all}:
            self._may_hear_all = False
