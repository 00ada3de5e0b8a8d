"""Hearing what is said of sessions whose commands are under way: their events, and their rejections.

A few sessions are listened to one by one. Many at once are heard through one subscription to all events and one to all
rejections: two of its own cost a session more than the rest of its command, both here and at the server. A user who
may not hear all goes on one by one.

What one does with a session is seldom the last: it is heard for a moment longer, so that whoever begins again has no
subscriptions to make, and finds the session's last event known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from stageflow_es.bus.jetstream.connection import Connection, Denial, Listener
from stageflow_es.bus.jetstream.incoming import TakeParts
from stageflow_es.bus.jetstream.subjects import Names

MANY = 24
"""Sessions from which on all are heard."""
LINGER = 1.0
"""Seconds that a session is heard longer than anybody wants it."""

Take = Callable[[bool, bytes], None]
"""Takes a message: whether it is a rejection, or an event; and its bytes."""


class _Ear:
    """A session that is heard: `takes`, what is said of it is for those; `own`, its own subscriptions, if it has any;
    `last`, the last event that came since it is heard without a break; `until`, when to end if nobody comes back."""

    __slots__ = ("last", "own", "takes", "until")

    def __init__(self) -> None:
        self.takes: list[Take] = []
        self.own: list[Listener] = []
        self.last: bytes | None = None
        self.until = 0.0


class Hearing:
    """Hands over what is said of a session to those who asked for it, as soon as it is read."""

    def __init__(self, client: Connection, names: Names) -> None:
        self._client = client
        self._names = names
        self._all = names.event("*"), names.every_rejection()
        self._ears: dict[bytes, _Ear] = {}
        self._lingering: dict[bytes, _Ear] = {}
        self._whole: list[Listener] = []
        self._may_hear_all = True
        self._changing = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None
        client.when_denied(self._denied)
        client.when_lost(self._lost)

    async def begin(self, session: str, take: Take) -> None:
        """What is published of the session after this goes to `take`, until `end`. Raises Unanswered."""
        key = session.encode()
        ear = self._lingering.pop(key, None) or self._ears.setdefault(key, _Ear())
        ear.takes.append(take)
        if self._hears(ear):
            return
        async with self._changing:
            if self._hears(ear):
                return
            if self._may_hear_all and not ear.own and len(self._ears) - len(self._lingering) >= MANY:
                await self._listen(self._all, self._whole, None)
            else:
                await self._listen((self._names.event(session), self._names.rejection(session)), ear.own, ear)

    def end(self, session: str, take: Take) -> None:
        """Hand over nothing more to this one, whether its `begin` came to its end or not; nor after `close`."""
        key = session.encode()
        ear = self._ears.get(key)
        if ear is None or take not in ear.takes:
            return
        ear.takes.remove(take)
        if not ear.takes:
            ear.until = asyncio.get_running_loop().time() + LINGER
            self._lingering[key] = ear
            if self._sweeping is None:
                self._sweeping = asyncio.create_task(self._sweep(), name="hearing")

    def last(self, session: str) -> bytes | None:
        """The session's last event, if that was heard; None: nobody here knows."""
        ear = self._ears.get(session.encode())
        return None if ear is None else ear.last

    async def close(self) -> None:
        """Hear nothing more of any session."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
            self._sweeping = None  # where it was cancelled before it began
        await self._forget(list(self._ears))

    def _hears(self, ear: _Ear) -> bool:
        listeners = ear.own or (self._whole if self._may_hear_all else [])
        return len(listeners) == len(self._all)

    async def _listen(self, subjects: tuple[str, str], listeners: list[Listener], only: _Ear | None) -> None:
        for rejected, subject in list(enumerate(subjects))[len(listeners) :]:
            taking = self._taking(bool(rejected), subject, only)
            listeners.append(await self._client.listen_to_parts(subject, taking))

    def _taking(self, rejected: bool, pattern: str, only: _Ear | None) -> TakeParts:
        """`only`: whose subscription it is; None: that of all who have none of their own."""
        before, ears = pattern.rindex(".") + 1, self._ears

        def taking(subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
            ear = only or ears.get(subject[before:])
            if ear is None or (only is None and ear.own):
                return
            if not rejected:
                ear.last = data
            for take in tuple(ear.takes):
                take(rejected, data)

        return taking

    async def _sweep(self) -> None:
        """Stop to hear what nobody came back to, until nothing is left of that."""
        time = asyncio.get_running_loop().time
        try:
            while self._lingering:
                await asyncio.sleep(max(next(iter(self._lingering.values())).until - time(), 0))
                await self._forget([key for key, ear in self._lingering.items() if ear.until <= time()])
        finally:
            self._sweeping = None

    async def _forget(self, sessions: Iterable[bytes]) -> None:
        needless: list[Listener] = []
        for key in sessions:
            self._lingering.pop(key, None)
            needless += self._ears.pop(key).own
        if all(ear.own for ear in self._ears.values()):
            needless += self._whole
            self._whole = []
        for listener in needless:
            await listener.close()

    def _denied(self, denial: Denial) -> None:
        """Whoever was to hear through what is denied finds the answer in what is stored, a little later."""
        if denial.verb == "subscribe" and denial.subject in {subject.lower() for subject in self._all}:
            self._may_hear_all = False

    def _lost(self) -> None:
        """What is said until the connection stands again is not heard."""
        for ear in self._ears.values():
            ear.last = None
