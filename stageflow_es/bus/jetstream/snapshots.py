"""Snapshots of sessions, asked of the query service over the bus."""

from __future__ import annotations

import msgspec

from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names

WITHIN = 0.25
"""Seconds an answer is waited for. Where there is no query service the server says so at once."""
_ERROR = "Nats-Service-Error-Code"


class JetStreamSnapshots:
    """`Snapshots` of whoever answers queries."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._subject = names.query("session.snapshot")

    async def get(self, session: str) -> bytes | None:
        question = msgspec.json.encode({"session": session})
        answer = await self._link.request(self._subject, question, within=WITHIN)
        return None if _ERROR in answer.headers else bytes(answer.data)
