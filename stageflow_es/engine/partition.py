"""One partition of the sessions: its owner reads its commands and fires in order, and keeps a checkpoint.

What makes a take-over lose nothing and repeat nothing (each rule matters; fault tests switch them off one by one):

- the floor passes a command only when what followed from it is durable, its rejection acknowledged, and its session
  in memory or found with nothing outstanding;
- a listed session stays listed until it rests; when the list is full, listed ones keep their places and the floors
  stay below what woke those left off;
- a checkpoint is written by compare-and-set, and a write that is refused or unanswered means the partition is lost:
  drop everything, take it over anew; the log is purged only up to the floor of one's own successful write;
- an owner with nothing to write looks whether its checkpoint is still there: another may have had the partition while
  this one stood still, and have left in its checkpoint, and only there, what is to be done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.clock import rfc3339
from stageflow_es.engine.definitions import Found
from stageflow_es.engine.inbox import BusItem, FireItem
from stageflow_es.engine.ledger import Ledger
from stageflow_es.engine.patience import surely
from stageflow_es.engine.places import Turn
from stageflow_es.engine.ports import (
    BusError,
    Checkpoint,
    CommandMessage,
    Fire,
    ListedSession,
    LogRecreated,
    Member,
    Reader,
    Unanswered,
    WrongSequence,
)
from stageflow_es.engine.watchdog import Watched
from stageflow_es.errors import OperatorError
from stageflow_es.log import logger
from stageflow_es.pipeline import Catalog
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from stageflow_es.engine.engine import Engine

log = logger(__name__)

TAKEOVER_PAUSE = 0.1
HANDOVER_PATIENCE = 0.5
OPEN_LIMIT = 10_000
"""Messages of one log that may be read and not yet handled."""


class Partition:
    """A partition this engine holds, and the host of its actors. `run` returns when it is lost."""

    def __init__(self, engine: Engine, owner: Member, number: int, held_until: float) -> None:
        self.engine = engine
        self.owner = owner
        self.number = number
        self.name = engine.name
        self.settings = engine.settings
        self.catalog: Catalog = engine.catalog
        self.stages: Mapping[str, type[BaseStage]] = engine.stages
        self.events = engine.bus.events
        self.timers = engine.bus.timers
        self.watched: Watched = engine.watchdog
        self.waiting = engine.waiting
        self._actors: dict[str, Actor] = {}
        self._turns: dict[str, Turn] = {}
        self._listed: dict[str, ListedSession] = {}
        self._revision = 0  # while the partition is not ours
        self._saved = Checkpoint()
        self._crashed = False
        self._commands = Ledger(0, OPEN_LIMIT)
        self._fires = Ledger(0, OPEN_LIMIT)
        self._found: Found = {}
        self._readers: list[Reader] = []
        self._reading: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._handing_over = False
        self._handed_over = False
        self.serving = asyncio.Event()
        self.held_until = held_until
        self._time = asyncio.get_running_loop().time

    # --- life ---

    async def run(self) -> None:
        """Take the partition over and work on it until it is lost or cancelled."""
        try:
            await self._take_over()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._checkpoint_forever())
                self._reading = group.create_task(self._read())
        except* WrongSequence:
            log.warning("partition_lost", partition=self.number, engine=self.name)
        except* Unanswered:
            log.warning("partition_in_doubt", partition=self.number, engine=self.name)
        finally:
            await self._drop()

    async def _take_over(self) -> None:
        bus = self.engine.bus
        commands_created = await surely(bus.commands.created)
        timers_created = await surely(bus.timers.created)
        while True:
            revision, found = await surely(lambda: bus.checkpoints.read(self.number))
            before = found or Checkpoint(commands_created=commands_created, timers_created=timers_created)
            if (before.commands_created, before.timers_created) != (commands_created, timers_created):
                raise OperatorError(
                    f"partition {self.number}: its checkpoint belongs to streams that were deleted and made again; "
                    "restore them from a backup, or delete the checkpoint to begin anew with what is there"
                )
            mine = msgspec.structs.replace(
                before, owner=self.owner.name, incarnation=self.owner.incarnation, clean=False
            )
            with suppress(WrongSequence, Unanswered):
                self._revision = await bus.checkpoints.write(self.number, revision, mine)
                break
            await asyncio.sleep(TAKEOVER_PAUSE)
        ours = (before.owner, before.incarnation) == (self.owner.name, self.owner.incarnation)
        self._resume(mine, crashed=not (before.clean or ours))

    def _resume(self, checkpoint: Checkpoint, *, crashed: bool) -> None:
        self._saved = checkpoint
        self._crashed = crashed
        self._listed = dict(checkpoint.sessions)
        self._commands = Ledger(checkpoint.commands, OPEN_LIMIT)
        self._fires = Ledger(checkpoint.fires, OPEN_LIMIT)
        for session, listed in checkpoint.sessions.items():
            actor = Actor(session, self, recovered=crashed and listed.running, least=listed.n)
            self._actors[session] = actor
            actor.poke()
        log.info("partition_taken", partition=self.number, engine=self.name, sessions=len(self._listed))

    async def _drop(self) -> None:
        self._revision = 0
        self._turns.clear()  # before a place comes free, which would go to one of them
        for actor in list(self._actors.values()):
            actor.close()
        self._actors.clear()
        for reader in self._readers:
            with suppress(BusError):
                await reader.close()
        self._readers.clear()
        self.serving.clear()

    async def hand_over(self) -> None:
        """Stop taking commands, let what is being appended finish, and leave a clean checkpoint behind."""
        self._handing_over = True
        if self._reading is not None:
            self._reading.cancel()
        for actor in self._actors.values():
            actor.workers.close()
        deadline = asyncio.get_running_loop().time() + HANDOVER_PATIENCE
        while any(actor.working for actor in self._actors.values()):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(0.005)
        async with self._writing:
            self._handed_over = True
            if self._revision:
                await self._write_clean()

    async def _write_clean(self) -> None:
        checkpoint = self._checkpoint()
        sessions = {name: msgspec.structs.replace(item, running=False) for name, item in checkpoint.sessions.items()}
        with suppress(WrongSequence, Unanswered):
            final = msgspec.structs.replace(checkpoint, sessions=sessions, clean=True)
            await self.engine.bus.checkpoints.write(self.number, self._revision, final)

    # --- reading ---

    async def _read(self) -> None:
        bus = self.engine.bus
        try:
            commands = await surely(lambda: bus.commands.open(self.number, self._commands.read))
            self._readers.append(commands)
            fires = await surely(lambda: bus.timers.open(self.number, self._fires.read))
            self._readers.append(fires)
        except LogRecreated as problem:
            raise OperatorError(str(problem)) from problem
        self.serving.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(commands, self._commands, self._take_command))
            group.create_task(self._follow(fires, self._fires, self._take_fire))

    async def _follow(
        self,
        reader: Reader,
        ledger: Ledger,
        take: Callable[[CommandMessage], Awaitable[None]] | Callable[[Fire], Awaitable[None]],
    ) -> None:
        settings = self.settings
        while True:
            await ledger.room()
            messages = await surely(lambda: reader.fetch(settings.batch, settings.fetch_wait))
            self._found = {}
            for message in messages:
                ledger.began(message.seq)
                await take(message)

    async def _take_command(self, message: CommandMessage) -> None:
        command, pipeline = await self.engine.intake.prepare(message, self._found)
        actor = self._actor(message.session)
        actor.post(
            BusItem(
                command=command,
                bus_command=command,
                handled=lambda: self._commands.handled(message.seq),
                pipeline=pipeline,
            )
        )

    async def _take_fire(self, fire: Fire) -> None:
        command = cmd.FireTimer(at=self.at(), by=self.name, timer=fire.timer)
        actor = self._actor(fire.session, least=fire.n)
        actor.post(FireItem(command=command, fire=fire, handled=lambda: self._fires.handled(fire.seq)))

    def _actor(self, session: str, least: int = 0) -> Actor:
        actor = self._actors.get(session)
        if actor is not None:
            return actor
        turn = self._turns.get(session)
        if turn is not None:
            return self.return_to(turn, least)
        actor = self._actors[session] = Actor(session, self, after_crash=self._crashed, least=least)
        return actor

    # --- the checkpoint ---

    async def _checkpoint_forever(self) -> None:
        while True:
            await asyncio.sleep(self.settings.checkpoint_every)
            async with self._writing:
                if not self._handed_over:
                    await self._write_checkpoint()

    async def _write_checkpoint(self) -> None:
        checkpoint = self._checkpoint()
        if checkpoint == self._saved:
            await self._look_whether_it_is_ours()
            return
        before = self._saved
        self._revision = await self.engine.bus.checkpoints.write(self.number, self._revision, checkpoint)
        self._saved = checkpoint
        self._listed = dict(checkpoint.sessions)
        await self._purge(before, checkpoint)

    async def _look_whether_it_is_ours(self) -> None:
        with suppress(Unanswered):
            revision, _ = await self.engine.bus.checkpoints.read(self.number)
            if revision > self._revision:
                raise WrongSequence(f"the checkpoint of partition {self.number} was replaced by another engine's")

    async def _purge(self, before: Checkpoint, saved: Checkpoint) -> None:
        with suppress(Unanswered):
            if saved.commands > before.commands:
                await self.engine.bus.commands.purge(self.number, saved.commands)
            if saved.fires > before.fires:
                await self.engine.bus.timers.purge(self.number, saved.fires)

    def _checkpoint(self) -> Checkpoint:
        here: dict[str, Actor | Turn] = {**self._turns, **self._actors}
        kept = [name for name in here if name in self._listed]
        fresh = [name for name in here if name not in self._listed]
        room = max(self.settings.list_limit - len(kept), 0)
        listed, left_off = kept + fresh[:room], fresh[room:]
        commands, fires = self._commands.floor, self._fires.floor
        for one in (here[name] for name in left_off):
            if one.last_command:
                commands = min(commands, one.last_command - 1)
            elif one.last_fire:
                fires = min(fires, one.last_fire - 1)
        return msgspec.structs.replace(
            self._saved,
            commands=max(commands, self._saved.commands),
            fires=max(fires, self._saved.fires),
            sessions={name: self._entry(here[name]) for name in listed},
            clean=False,
        )

    def _entry(self, one: Actor | Turn) -> ListedSession:
        """How a session is listed: without its latest version, so that a session at work changes nothing here."""
        known = self._listed.get(one.session)
        if known is not None and known.running == one.placed:
            return known
        return ListedSession(n=one.least, running=one.placed)

    @property
    def sessions(self) -> int:
        """How many are in memory."""
        return len(self._actors)

    # --- the host of the actors ---

    def now(self) -> datetime:
        return self.engine.clock.now()

    def at(self) -> str:
        return rfc3339(self.engine.clock.now())

    async def load(self, session: str, least: int) -> State:
        return await self.engine.load(session, least)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        await self.engine.bus.commands.reject(session, command_seq, data)

    def cancel_timer(self, session: str, timer: str) -> None:
        self.engine.background(self.timers.cancel(session, timer))

    def trouble(self, problem: str) -> None:
        self.engine.trouble(problem)

    def holds(self) -> bool:
        return not self._handing_over and self._time() < self.held_until

    def renewed(self, until: float) -> None:
        """The lease is ours until then, by the event loop's clock. Runs that were held back when it lapsed begin."""
        lapsed = not self.holds()
        self.held_until = until
        if lapsed:
            for actor in self._actors.values():
                actor.poke()

    def wants_place(self, actor: Actor) -> bool:
        places = self.engine.places
        if places.take(actor):
            return True
        actor.turn = Turn(self, actor)
        places.queue(actor.turn)
        return False

    def wait_for_turn(self, actor: Actor) -> None:
        turn = actor.turn
        assert turn is not None
        turn.outlive(actor)
        self._turns[actor.session] = turn
        self._remove(actor)

    def waits_for(self, turn: Turn) -> bool:
        """Whether a turn that no actor has is still wanted here."""
        return self._turns.get(turn.session) is turn

    def return_to(self, turn: Turn, least: int = 0) -> Actor:
        """An actor for a session that waits for its turn."""
        del self._turns[turn.session]
        actor = self._actors[turn.session] = Actor(turn.session, self, least=max(least, turn.least))
        actor.last_command, actor.last_fire = turn.last_command, turn.last_fire
        actor.turn, actor.queued = turn, True
        turn.actor = actor
        return actor

    def busy(self, actor: Actor, busy: bool) -> None:
        self.engine.places.busy(actor, busy)

    def rest(self, actor: Actor) -> None:
        if actor.turn is not None:
            actor.turn.actor = None
        self._remove(actor)

    def _remove(self, actor: Actor) -> None:
        if self._actors.get(actor.session) is actor:
            del self._actors[actor.session]
            actor.let_go()
