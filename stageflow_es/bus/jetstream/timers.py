"""Durable timers: message schedules. The server publishes a timer's message when it is due, at once if it
was.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from stageflow_es.bus.jetstream.command_log import purge
from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.bus.jetstream.log_identity import created
from stageflow_es.bus.jetstream.log_reader import Delivery, LogReader
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names, check_session_id
from stageflow_es.engine.ports import Fire, Reader


class _Body(msgspec.Struct, frozen=True):
    timer: str
    n: int = 0


class JetStreamTimers:
    """`Timers` on JetStream; see there for what each method promises."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._link = link
        self._settings = settings
        self._names = Names(settings.prefix)

    async def created(self) -> str:
        return await created(self._link, self._names.timers)

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        check_session_id(session)
        at = due.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        headers = {"Nats-Schedule": f"@at {at}", "Nats-Schedule-Target": self._names.timer_fire(session)}
        body = msgspec.json.encode(_Body(timer, n))
        try:
            await self._link.store(self._names.timer_set(session, timer), body, headers)
        except ApiError as error:
            raise error.as_bus_error(f"session {session}: timer {timer}") from error

    async def cancel(self, session: str, timer: str) -> None:
        subject = self._names.timer_set(check_session_id(session), timer)
        await purge(self._link, self._names.timers, subject)

    async def open(self, partition: int, after: int) -> Reader:
        filters, stream = [self._names.timer_due(partition)], self._names.timers
        return await LogReader(self._link, self._settings, stream, filters, after, self._parse).start()

    async def purge(self, partition: int, upto: int) -> None:
        await purge(self._link, self._names.timers, self._names.timer_due(partition), upto)

    def _parse(self, delivery: Delivery) -> Fire | None:
        """None for a message that no timer of ours can have sent."""
        try:
            body = msgspec.json.decode(delivery.data, type=_Body)
        except msgspec.DecodeError:
            return None
        session = self._names.session_of_fire(delivery.message.subject)
        return Fire(seq=delivery.seq, session=session, timer=body.timer, n=body.n)
