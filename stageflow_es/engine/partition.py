"""One partition of the sessions, while this engine has it: its commands and fires are read in order, and given to the
actors. `checkpointing` is what makes it safe to take a partition over; `partition_host` is where its actors live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from stageflow_es.engine.checkpointing import Checkpointing
from stageflow_es.engine.definitions import Found
from stageflow_es.engine.inbox import BusItem, FireItem
from stageflow_es.engine.ledger import Ledger
from stageflow_es.engine.partition_host import PartitionHost
from stageflow_es.engine.patience import surely
from stageflow_es.engine.ports import (
    BusError,
    CommandMessage,
    Fire,
    LogRecreated,
    Member,
    Reader,
    Unanswered,
    WrongSequence,
)
from stageflow_es.errors import OperatorError
from stageflow_es.log import logger
from stageflow_es.session import commands as cmd

if TYPE_CHECKING:
    from stageflow_es.engine.engine import Engine

log = logger(__name__)


class Partition:
    """A partition this engine holds. `run` returns when it is lost; `serving` is set while its logs are read."""

    def __init__(self, engine: Engine, owner: Member, number: int, held_until: float) -> None:
        self.engine = engine
        self.number = number
        self.host = PartitionHost(engine, held_until)
        self.checkpointing = Checkpointing(engine.bus, number, owner, self.host)
        self.serving = asyncio.Event()
        self._found: Found = {}
        self._readers: list[Reader] = []
        self._reading: asyncio.Task[None] | None = None

    # --- life ---

    async def run(self) -> None:
        """Take the partition over and work on it until it is lost or cancelled."""
        name = self.engine.name
        try:
            await self.checkpointing.take_over()
            log.info("partition_taken", partition=self.number, engine=name, sessions=len(self.host.actors))
            async with asyncio.TaskGroup() as group:
                group.create_task(self.checkpointing.keep())
                self._reading = group.create_task(self._read())
        except* WrongSequence:
            log.warning("partition_lost", partition=self.number, engine=name)
        except* Unanswered:
            log.warning("partition_in_doubt", partition=self.number, engine=name)
        finally:
            await self._drop()

    async def _drop(self) -> None:
        self.checkpointing.lose()
        self.host.drop()
        for reader in self._readers:
            with suppress(BusError):
                await reader.close()
        self._readers.clear()
        self.serving.clear()

    async def hand_over(self) -> None:
        """Stop taking commands, let what is being appended finish, and leave a clean checkpoint behind."""
        if self._reading is not None:
            self._reading.cancel()
        if await self.host.wind_up():
            await self.checkpointing.hand_over()

    # --- reading ---

    async def _read(self) -> None:
        bus, taken = self.engine.bus, self.checkpointing
        try:
            commands = await surely(lambda: bus.commands.open(self.number, taken.commands.read))
            self._readers.append(commands)
            fires = await surely(lambda: bus.timers.open(self.number, taken.fires.read))
            self._readers.append(fires)
        except LogRecreated as problem:
            raise OperatorError(str(problem)) from problem
        self.serving.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(commands, taken.commands, self._take_command))
            group.create_task(self._follow(fires, taken.fires, self._take_fire))

    async def _follow(
        self,
        reader: Reader,
        ledger: Ledger,
        take: Callable[[CommandMessage], Awaitable[None]] | Callable[[Fire], Awaitable[None]],
    ) -> None:
        settings = self.engine.settings
        while True:
            await ledger.room()
            messages = await surely(lambda: reader.fetch(settings.batch, settings.fetch_wait))
            self._found = {}
            for message in messages:
                ledger.began(message.seq)
                await take(message)

    async def _take_command(self, message: CommandMessage) -> None:
        command, pipeline = await self.engine.intake.prepare(message, self._found)
        handled = partial(self.checkpointing.commands.handled, message.seq)
        actor = self.host.actor(message.session)
        actor.post(BusItem(command=command, bus_command=command, handled=handled, pipeline=pipeline))

    async def _take_fire(self, fire: Fire) -> None:
        command = cmd.FireTimer(at=self.host.at(), by=self.host.name, timer=fire.timer)
        handled = partial(self.checkpointing.fires.handled, fire.seq)
        actor = self.host.actor(fire.session, least=fire.n)
        actor.post(FireItem(command=command, fire=fire, handled=handled))
