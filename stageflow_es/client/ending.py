"""How a session ends, where that is soon: from what is heard of it, and from its last stored event.

A follower of its own (see `follow`) reads all the history there is and costs a short session more than running it
does. So whoever waits for an end first hears it as commands are heard, many sessions at once; only a wait that goes on
for some seconds is worth a follower, and only there it is sure that nothing was missed.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from stageflow_es.bus.jetstream.direct_get import from_leader, latest
from stageflow_es.bus.jetstream.link import Denied, Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.follow import FINAL, type_of
from stageflow_es.client.hearing import Hearing
from stageflow_es.engine.ports import BusError

SOON = 3.0
"""Seconds an end is waited for."""
AFTER_THE_END = "command_rejected"
"""What may stand behind a session's end, as well as anywhere else."""
_OF_SESSIONS = b'"session_'
"""What every event that ends a session has in it, as the log has it. Most have not: to look for it costs less than to
decode them."""
REOPENABLE = "session_failed"
"""The end behind which more may follow than a replica knows that lags behind."""


class Endings:
    """The ends of the sessions of one bus."""

    def __init__(self, link: Link, names: Names, hearing: Hearing) -> None:
        self._link = link
        self._names = names
        self._hearing = hearing
        self._may_look = True

    async def soon(self, session: str) -> bytes | None:
        """The event that a session has ended with, or ends with within `SOON` seconds. None: that is not to be told
        without following it."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bytes | None] = loop.create_future()

        def settle(outcome: bytes | None) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def take(rejected: bool, data: bytes) -> None:
            if _OF_SESSIONS in data and not rejected and _type_of(data) in FINAL:
                settle(data)

        try:
            await self._hearing.begin(session, take)
            last = self._hearing.last(session) or await self._last(session)
            kind = _type_of(last)
            if kind in FINAL:
                return last
            if kind is None or kind == AFTER_THE_END:
                return None
            patience = loop.call_later(SOON, settle, None)
            try:
                return await ended
            finally:
                patience.cancel()
        except BusError:
            return None
        finally:
            self._hearing.end(session, take)

    async def _last(self, session: str) -> bytes:
        """The session's last event; empty: it has none, or this user may not look."""
        if not self._may_look:
            return b""
        stream, subject = self._names.events, self._names.event(session)
        try:
            last = await latest(self._link, stream, subject)
            if _type_of(last) == REOPENABLE:
                stored = await from_leader(self._link, stream, {"last_by_subj": subject})
                last = b"" if stored is None else stored.data
        except Denied:
            self._may_look = False
            return b""
        return last


def _type_of(data: bytes) -> str | None:
    """An event's type; None for what is no event."""
    with suppress(msgspec.MsgspecError):
        return type_of(data)
    return None
