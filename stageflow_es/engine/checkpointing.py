"""The checkpoint of a partition: how it is taken over from one owner to the next, kept meanwhile, and left behind.

What makes a take-over lose nothing and repeat nothing (without any one of these rules tests fail):

- the floor passes a command only when what followed from it is durable, its rejection acknowledged, and its session
  in memory or found with nothing outstanding;
- a listed session stays listed until it rests; when the list is full, listed ones keep their places and the floors
  stay below what woke those left off;
- a session comes on the list when something of it has been dealt with: until then what woke it is read again, and tells
  by having been applied already that a stage may have begun, and been lost;
- a session that was listed as not running when its owner died begins no stage before it is listed as running: it may
  have begun one all the same, and one that kills its engine each time would never be found out;
- a checkpoint is written by compare-and-set, and a write that is refused or unanswered means the partition is lost:
  drop everything, take it over anew; the log is purged only up to the floor of one's own successful write;
- an owner with nothing to write looks whether its checkpoint is still there: another may have had the partition while
  this one stood still, and have left in its checkpoint, and only there, what is to be done.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.ledger import Ledger
from stageflow_es.engine.partition_host import PartitionHost
from stageflow_es.engine.patience import surely
from stageflow_es.engine.places import Turn
from stageflow_es.engine.ports import Bus, Checkpoint, ListedSession, Member, Unanswered, WrongSequence
from stageflow_es.errors import OperatorError
from stageflow_es.session import HISTORY_VERSION

TAKEOVER_PAUSE = 0.1
"""Seconds between two tries to take a partition over."""
TOGETHER = 0.05
"""Seconds that a session which waits for the checkpoint waits for others that do."""
OPEN_LIMIT = 10_000
"""Messages of one log that may be read and not yet handled."""


class Checkpointing:
    """The checkpoint of one partition in the hands of one owner. `commands` and `fires`: how far its logs have been
    dealt with. WrongSequence and Unanswered, out of any of this, mean that the partition is lost."""

    def __init__(self, bus: Bus, number: int, owner: Member, host: PartitionHost) -> None:
        self._bus = bus
        self._number = number
        self._owner = owner
        self._host = host
        self._settings = host.settings
        self.commands = Ledger(0, OPEN_LIMIT)
        self.fires = Ledger(0, OPEN_LIMIT)
        self._listed: dict[str, ListedSession] = {}
        self._saved = Checkpoint()
        self._revision = 0  # while the partition is not ours
        self._writing = asyncio.Lock()
        self._handed_over = False

    @property
    def unsettled(self) -> int:
        """Commands and fires that were read and are not dealt with yet."""
        return self.commands.unsettled + self.fires.unsettled

    # --- from owner to owner ---

    async def take_over(self) -> None:
        """Make the checkpoint ours, wake the sessions on its list, and go on from its floors. Raises OperatorError
        where it belongs to other logs, or was a later release's."""
        before, mine = await self._replace()
        ours = (before.owner, before.incarnation) == (self._owner.name, self._owner.incarnation)
        self._saved = mine
        self._listed = dict(mine.sessions)
        self.commands = Ledger(mine.commands, OPEN_LIMIT)
        self.fires = Ledger(mine.fires, OPEN_LIMIT)
        self._host.resume(mine.sessions, crashed=not (before.clean or ours))

    async def _replace(self) -> tuple[Checkpoint, Checkpoint]:
        """Write the checkpoint found as one of ours, as often as it takes: the one before, and ours."""
        bus = self._bus
        commands_created = await surely(bus.commands.created)
        timers_created = await surely(bus.timers.created)
        while True:
            revision, found = await surely(lambda: bus.checkpoints.read(self._number))
            before = found or Checkpoint(commands_created=commands_created, timers_created=timers_created)
            if (before.commands_created, before.timers_created) != (commands_created, timers_created):
                raise OperatorError(
                    f"partition {self._number}: its checkpoint belongs to streams that were deleted and made again; "
                    "restore them from a backup, or delete the checkpoint to begin anew with what is there"
                )
            if before.history_version > HISTORY_VERSION:
                raise OperatorError(
                    f"partition {self._number}: an engine of a later release has worked on it, and its sessions may "
                    "hold events that this one does not know: update this engine"
                )
            mine = msgspec.structs.replace(
                before,
                owner=self._owner.name,
                incarnation=self._owner.incarnation,
                clean=False,
                history_version=HISTORY_VERSION,
            )
            with suppress(WrongSequence, Unanswered):
                self._revision = await bus.checkpoints.write(self._number, revision, mine)
                return before, mine
            await asyncio.sleep(TAKEOVER_PAUSE)

    async def hand_over(self) -> None:
        """Leave a clean checkpoint behind, the last of this owner, if the partition is still ours."""
        async with self._writing:
            self._handed_over = True
            if self._revision:
                await self._write_clean()

    async def _write_clean(self) -> None:
        checkpoint = self._checkpoint()
        sessions = {name: msgspec.structs.replace(item, running=False) for name, item in checkpoint.sessions.items()}
        with suppress(WrongSequence, Unanswered):
            final = msgspec.structs.replace(checkpoint, sessions=sessions, clean=True)
            await self._bus.checkpoints.write(self._number, self._revision, final)

    def lose(self) -> None:
        """The partition is not ours any more: nothing is written from now on."""
        self._revision = 0

    # --- meanwhile ---

    async def keep(self) -> None:
        """Write the checkpoint for ever, every so often, and soon where a session waits for that."""
        every = self._settings.checkpoint_every
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(every):
                    await self._host.to_list.wait()
                    await asyncio.sleep(min(TOGETHER, every))
            async with self._writing:
                if not self._handed_over:
                    await self._write()

    async def _write(self) -> None:
        self._host.to_list.clear()
        checkpoint = self._checkpoint()
        if checkpoint == self._saved:
            await self._look_whether_it_is_ours()
            self._host.listed(checkpoint.sessions)
            return
        before = self._saved
        self._revision = await self._bus.checkpoints.write(self._number, self._revision, checkpoint)
        self._saved = checkpoint
        self._listed = dict(checkpoint.sessions)
        self._host.listed(checkpoint.sessions)
        await self._purge(before, checkpoint)

    async def _look_whether_it_is_ours(self) -> None:
        with suppress(Unanswered):
            revision, _ = await self._bus.checkpoints.read(self._number)
            if revision > self._revision:
                raise WrongSequence(f"the checkpoint of partition {self._number} was replaced by another engine's")

    async def _purge(self, before: Checkpoint, saved: Checkpoint) -> None:
        with suppress(Unanswered):
            if saved.commands > before.commands:
                await self._bus.commands.purge(self._number, saved.commands)
            if saved.fires > before.fires:
                await self._bus.timers.purge(self._number, saved.fires)

    def _checkpoint(self) -> Checkpoint:
        """The checkpoint as of now."""
        here = self._host.here()
        kept = [name for name in here if name in self._listed]
        fresh = [name for name, one in here.items() if name not in self._listed and (one.last_command or one.last_fire)]
        room = max(self._settings.list_limit - len(kept), 0)
        listed, left_off = kept + fresh[:room], fresh[room:]
        commands, fires = self.commands.floor, self.fires.floor
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
        if known is not None and known.running == one.running:
            return known
        return ListedSession(n=one.least, running=one.running)
