"""The ports: what the engine needs of a bus, as Protocols. `bus/memory/` is the reference, `bus/jetstream/` the
real thing; one contract suite holds both to what is written here.

The outcomes of a write are three, and the engine treats them differently: it returned (durable), `WrongSequence`
(someone else wrote: reload, decide again), `Unanswered` (nobody knows: reload, the log says).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

import msgspec

from stageflow_es.engine.vitals import Commits, Vitals
from stageflow_es.errors import StageFlowError

CommandKind = Literal["start", "input", "control"]


class BusError(StageFlowError):
    """A bus operation did not succeed."""


class WrongSequence(BusError):
    """The write's expected sequence is not the actual one."""


class Unanswered(BusError):
    """No answer came: the write was executed, or will be, or never will."""


class Refused(BusError):
    """The bus refuses this very write for good (too large, no such stream); the message says why."""


class LogRecreated(BusError):
    """A floor lies above the log's last sequence, or its creation time differs: this is a different log."""


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as the log holds it. `seq` is the stream's sequence, not the session's n."""

    seq: int
    data: bytes


class CommandMessage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One command as the bus accepted it, not yet parsed."""

    seq: int
    session: str
    kind: CommandKind
    data: bytes
    id: str | None = None
    at: str = ""


class Fire(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A timer that fired. `n` is the session's version when it was set: a head below it is a stale read."""

    seq: int
    session: str
    timer: str
    n: int = 0


class ListedSession(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """A session that was active when a checkpoint was written. `running`: one of its stages may have begun."""

    n: int
    running: bool = True


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where an owner of a partition stands: both floors, the logs they belong to, and who was active.

    `clean` is true when the owner handed over in order, so that no run was lost. `incarnation` is the owner's.
    `history_version` is the latest of all its owners'.
    """

    commands: int = 0
    fires: int = 0
    commands_created: str = ""
    timers_created: str = ""
    sessions: dict[str, ListedSession] = {}
    owner: str = ""
    incarnation: int = 0
    clean: bool = True
    history_version: int = 1


class EventLog(Protocol):
    """The sessions' histories: one append-only log per session, with optimistic concurrency."""

    def append(self, session: str, events: Sequence[bytes], expected: int) -> Awaitable[int]:
        """Store `events` in order if the session's last sequence is `expected` (0: no events yet), and return the
        last one's sequence once they are durable. Nothing comes between them. Raises WrongSequence, Unanswered or
        Refused, and then the first few of them may be stored: every prefix of a history is consistent."""

    async def head(self, session: str) -> StoredEvent | None:
        """The session's last event, from a leader read made after this call; None: there is no such session."""

    async def first(self, session: str) -> StoredEvent | None:
        """The first of the session's events that are still there; None: there is no such session."""

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        """The session's events with a sequence above `after`, up to and including `upto`, the sequence of one of them
        (None: of the head at the time of this call), complete and in order. `about`: how many they should be, where
        the caller has an idea of it; it says how to read them and never what is read. Raises Refused where some of them
        were purged meanwhile, and Unanswered."""


class Reader(Protocol):
    """Reads one partition of a log, in order, without gaps, for as long as it is open."""

    async def fetch(self, limit: int, wait: float) -> Sequence[Any]:
        """The next messages, at most `limit`, as soon as there is one; empty after `wait` seconds with none."""

    async def close(self) -> None: ...


class CommandLog(Protocol):
    """Commands in the order the bus accepted them, split into partitions by session."""

    async def created(self) -> str:
        """When the log was created: its identity."""

    async def open(self, partition: int, after: int) -> Reader:
        """A reader of `CommandMessage` with a sequence above `after`. Raises LogRecreated."""

    async def purge(self, partition: int, upto: int) -> None:
        """Forget this partition's commands up to and including `upto`."""

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        """Publish a rejection and return once it is durable; repeating it is harmless."""


class Timers(Protocol):
    """Durable timers. A timer is known by session and id; setting it again replaces it."""

    async def created(self) -> str: ...

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        """Fire at `due` (aware, UTC) or soon after; a `due` that has passed fires at once. Returns once durable."""

    async def cancel(self, session: str, timer: str) -> None:
        """Best effort: a fire that is already under way still comes."""

    async def open(self, partition: int, after: int) -> Reader:
        """A reader of `Fire` with a sequence above `after`. Raises LogRecreated."""

    async def purge(self, partition: int, upto: int) -> None: ...


class Checkpoints(Protocol):
    """One checkpoint a partition, written by compare-and-set."""

    async def read(self, partition: int) -> tuple[int, Checkpoint | None]:
        """The revision (0: none) and the checkpoint."""

    async def write(self, partition: int, revision: int, checkpoint: Checkpoint) -> int:
        """Replace the checkpoint at `revision` and return the new revision. Raises WrongSequence, Unanswered."""


class Member(msgspec.Struct, frozen=True, gc=False):
    """An engine in one of its lives: of two under one name, the later has the greater `incarnation`."""

    name: str
    incarnation: int


class Leases(Protocol):
    """Who works on which partition: for economy only, correctness does not rest on it.

    A name belongs to whoever joined under it last. An earlier engine of that name takes nothing from a later one, and
    is told at its next announcement: so one that was killed is replaced at once, and two that live do not fight."""

    @property
    def term(self) -> float:
        """Seconds a lease or an announcement lasts unless it is renewed."""

    async def join(self, name: str) -> Member:
        """Begin a life under this name, alive for a term."""

    async def acquire(self, partition: int, owner: Member) -> int | None:
        """Take a free partition, or one that `owner` itself held in this life or an earlier one; returns the lease's
        revision, None: someone has it."""

    async def renew(self, partition: int, owner: Member, revision: int) -> int | None:
        """Keep a lease for another term; None: it is lost."""

    async def release(self, partition: int, owner: Member, revision: int) -> None: ...

    async def announce(self, member: Member, vitals: Vitals) -> bool:
        """Say that it is alive, for another term, and how it does; False: another has joined under its name."""

    async def withdraw(self, member: Member) -> None:
        """Say that it is not alive any more; harmless when another has joined under its name."""

    async def members(self) -> dict[str, Vitals]:
        """The engines alive, sorted by name, and how they do."""


class Definitions(Protocol):
    """Pipeline definitions by digest, and names that point to digests."""

    async def put(self, data: bytes) -> str:
        """Store canonical bytes, return their digest once durable; the same bytes twice are stored once."""

    async def get(self, digest: str) -> bytes | None: ...

    async def name(self, name: str, digest: str) -> None:
        """Point a name at a digest already stored; earlier versions stay."""

    async def resolve(self, name: str) -> str | None:
        """The digest a name points to now."""

    async def versions(self, name: str) -> list[str]:
        """Every digest the name has had, oldest first."""

    async def names(self) -> dict[str, str]:
        """All names with their current digests."""


class Snapshots(Protocol):
    """States of sessions that someone else has folded. Nothing rests on them: see `shortcut`."""

    async def get(self, session: str) -> bytes | None:
        """The bytes of a snapshot of the session, as new as it happens to be; None: there is none of it. Raises
        Unanswered, soon, when nobody answers."""


class Bus(Protocol):
    """All ports of one bus, and how many partitions its logs have."""

    @property
    def events(self) -> EventLog: ...

    @property
    def commands(self) -> CommandLog: ...

    @property
    def timers(self) -> Timers: ...

    @property
    def checkpoints(self) -> Checkpoints: ...

    @property
    def leases(self) -> Leases: ...

    @property
    def definitions(self) -> Definitions: ...

    @property
    def snapshots(self) -> Snapshots: ...

    @property
    def partitions(self) -> int: ...

    def partition(self, session: str) -> int:
        """The partition a session's commands and fires are in."""

    async def publish(self, kind: CommandKind, session: str, data: bytes, id: str | None = None) -> int:
        """Send a command as a client would; returns its sequence once the bus has it. Raises Refused, Unanswered."""

    def commits(self) -> Commits:
        """What became durable in the event log since this was asked last."""

    async def close(self) -> None: ...
