"""The bus on JetStream: every port over one connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stageflow_es.bus.jetstream.checkpoints import JetStreamCheckpoints
from stageflow_es.bus.jetstream.command_log import JetStreamCommandLog
from stageflow_es.bus.jetstream.connection import Connection, connect
from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.event_log import JetStreamEventLog
from stageflow_es.bus.jetstream.leases import JetStreamLeases
from stageflow_es.bus.jetstream.link import NO_ROOM, ApiError, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.snapshots import JetStreamSnapshots
from stageflow_es.bus.jetstream.streams import prepare
from stageflow_es.bus.jetstream.subjects import Names, check_session_id
from stageflow_es.bus.jetstream.timers import JetStreamTimers
from stageflow_es.bus.partition import partition_of
from stageflow_es.engine.ports import CommandKind, Refused
from stageflow_es.engine.vitals import Commits


class JetStreamBus:
    """`Bus` on JetStream. Made with `connect`, or with `over` for a connection that is there already."""

    def __init__(self, link: Link, settings: BusSettings, *, owns_connection: bool) -> None:
        names = Names(settings.prefix)
        self.settings = settings
        self.names = names
        self.partitions = settings.partitions
        self.connection = link.client
        self.events = JetStreamEventLog(link, settings)
        self.commands = JetStreamCommandLog(link, settings)
        self.timers = JetStreamTimers(link, settings)
        self.checkpoints = JetStreamCheckpoints(link, names)
        self.leases = JetStreamLeases(link, settings)
        self.definitions = JetStreamDefinitions(link, names)
        self.snapshots = JetStreamSnapshots(link, names)
        self._link = link
        self._owns_connection = owns_connection

    @classmethod
    async def connect(
        cls, servers: str | Sequence[str], settings: BusSettings | None = None, **options: Any
    ) -> JetStreamBus:
        """Connect, and create or check the streams. `options` are those of `nats.connect`. Raises
        OperatorError.
        """
        settings = settings or BusSettings()
        connection = await connect(servers, within=settings.connect_timeout, **options)
        try:
            return await cls._open(connection, settings, owns_connection=True)
        except BaseException:
            await connection.close()
            raise

    @classmethod
    async def over(cls, connection: Connection, settings: BusSettings | None = None) -> JetStreamBus:
        """A bus over a connection that stays open when the bus is closed. Raises OperatorError."""
        return await cls._open(connection, settings or BusSettings(), owns_connection=False)

    @classmethod
    async def _open(cls, connection: Connection, settings: BusSettings, *, owns_connection: bool) -> JetStreamBus:
        link = await Link.open(connection, settings.request_timeout)
        await prepare(link, settings)
        return cls(link, settings, owns_connection=owns_connection)

    def partition(self, session: str) -> int:
        return partition_of(session, self.partitions)

    async def publish(self, kind: CommandKind, session: str, data: bytes, id: str | None = None) -> int:
        """As a client would; with an `id` that was sent a moment ago, the sequence it got then."""
        subject = self.names.command(kind, check_session_id(session))
        headers = None if id is None else {"Nats-Msg-Id": id}
        try:
            return await self._link.store(subject, data, headers)
        except ApiError as error:
            what = f"session {session}: {kind}"
            if error.number in NO_ROOM:
                raise Refused(f"{what}: there is no room for commands ({error})") from error
            raise error.as_bus_error(what) from error

    def commits(self) -> Commits:
        return self.events.commits()

    async def close(self) -> None:
        """Stop; whoever still waits for an append learns `Unanswered`."""
        await self.events.close()
        await self._link.close()
        if self._owns_connection:
            await self.connection.close()
