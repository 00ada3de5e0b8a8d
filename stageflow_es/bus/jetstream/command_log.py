"""The command log: what clients published, in the order the server accepted it, one partition a filter."""

from __future__ import annotations

from datetime import UTC, datetime

from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.bus.jetstream.log_identity import created
from stageflow_es.bus.jetstream.log_reader import Delivery, LogReader
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import CommandMessage, Reader, Unanswered


class JetStreamCommandLog:
    """`CommandLog` on JetStream; see there for what each method promises."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._link = link
        self._settings = settings
        self._names = Names(settings.prefix)

    async def created(self) -> str:
        return await created(self._link, self._names.commands)

    async def open(self, partition: int, after: int) -> Reader:
        filters, stream = self._filters(partition), self._names.commands
        return await LogReader(self._link, self._settings, stream, filters, after, self._parse).start()

    async def purge(self, partition: int, upto: int) -> None:
        for subject in self._filters(partition):
            await purge(self._link, self._names.commands, subject, upto)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        try:
            await self._link.store(self._names.rejection(session), data, {"Nats-Msg-Id": f"rej-{command_seq}"})
        except ApiError as error:
            raise error.as_bus_error(f"rejection of command {command_seq}") from error

    def _filters(self, partition: int) -> list[str]:
        """Between them the partitions' filters match every command there is."""
        inbox = self._names.inbox(partition)
        return [inbox, self._names.stray()] if partition == 0 else [inbox]

    def _parse(self, delivery: Delivery) -> CommandMessage:
        message = delivery.message
        session, kind = self._names.parse_command(message.subject)
        at = datetime.fromtimestamp(delivery.at // 1000 / 1_000_000, UTC)
        return CommandMessage(
            seq=delivery.seq,
            session=session,
            kind=kind,
            data=delivery.data,
            id=message.headers.get("Nats-Msg-Id"),
            at=at.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        )


async def purge(link: Link, stream: str, subject: str, upto: int | None = None) -> None:
    """Forget the messages of `subject`, those up to and including `upto` or all. Raises Unanswered."""
    if upto is not None and upto < 1:
        return
    request: dict[str, object] = {"filter": subject}
    if upto is not None:
        request["seq"] = upto + 1
    try:
        await link.api(f"STREAM.PURGE.{stream}", request)
    except ApiError as error:
        raise Unanswered(f"{stream} could not be purged: {error}") from error
