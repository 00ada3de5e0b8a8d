"""The reference bus: every port in one process, exact, durable for as long as the object lives.

It has no time of its own. `clock` says what time it is; `advance(now)` moves a bus without one. Timers that
are due fire, and leases whose term is over vanish, at the next operation or at `advance`. Everything takes
effect at once, so a simulator decides alone what happens when; `next_due` tells it when something would.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from stageflow_es.bus.partition import partition_of
from stageflow_es.engine.ports import (
    Checkpoint,
    CommandKind,
    CommandMessage,
    Fire,
    LogRecreated,
    Member,
    Refused,
    StoredEvent,
    WrongSequence,
)
from stageflow_es.engine.vitals import Commits, Vitals

Subscriber = Callable[[str, StoredEvent], None]

_LARGEST_EVENT = 1024 * 1024 - 512
_LARGEST_COMMAND = 1024 * 1024 - 64 * 1024
_LARGEST_APPEND = 1000
_RECHECK = 1.0


class MemoryBus:
    """`Bus` in memory. `lease_ttl`: seconds. `rejections` is what was rejected, by command sequence."""

    def __init__(
        self, partitions: int = 8, *, clock: Callable[[], datetime] | None = None, lease_ttl: float = 4
    ) -> None:
        self.partitions = partitions
        self.events = MemoryEventLog()
        self.commands = MemoryCommandLog(self)
        self.timers = MemoryTimers(self)
        self.checkpoints = MemoryCheckpoints()
        self.leases = MemoryLeases(self, lease_ttl)
        self.definitions = MemoryDefinitions()
        self.snapshots = MemorySnapshots()
        self._clock = clock
        self._now = datetime(2000, 1, 1, tzinfo=UTC)

    def partition(self, session: str) -> int:
        return partition_of(session, self.partitions)

    def now(self) -> datetime:
        if self._clock is not None:
            self._now = max(self._now, self._clock())
        return self._now

    def advance(self, now: datetime) -> None:
        """It is `now`, if it was not later already: fire what is due."""
        self._now = max(self._now, now)
        self.timers.fire_due()

    def next_due(self) -> datetime | None:
        """When the next timer is due; None: none is set."""
        return self.timers.next_due()

    async def publish(self, kind: CommandKind, session: str, data: bytes, id: str | None = None) -> int:
        if len(data) > _LARGEST_COMMAND:
            raise Refused(f"session {session}: a command of {len(data):,} bytes; at most {_LARGEST_COMMAND:,}")
        return self.commands.accept(kind, session, data, id)

    def commits(self) -> Commits:
        """Everything is durable at once here: there are no rounds to tell of."""
        return Commits()

    async def close(self) -> None:
        """Nothing to let go of."""


class MemoryEventLog:
    """`EventLog` in memory. Subscribers are called with every event, once it is stored, in order."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[StoredEvent]] = {}
        self._last = 0
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber(session, event)` from now on; the answer ends it."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def sessions(self) -> list[str]:
        return list(self._sessions)

    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        if not 0 < len(events) <= _LARGEST_APPEND:
            raise Refused(f"session {session}: {len(events)} events in one append; 1 to {_LARGEST_APPEND}")
        if max(map(len, events)) > _LARGEST_EVENT:
            raise Refused(f"session {session}: an event of more than {_LARGEST_EVENT:,} bytes")
        history = self._sessions.get(session, [])
        actual = history[-1].seq if history else 0
        if actual != expected:
            raise WrongSequence(f"session {session}: its last sequence is {actual}, not {expected}")
        stored = [StoredEvent(self._last + number, data) for number, data in enumerate(events, 1)]
        self._last = stored[-1].seq
        self._sessions.setdefault(session, history).extend(stored)
        for subscriber in list(self._subscribers):
            for event in stored:
                subscriber(session, event)
        return self._last

    async def head(self, session: str) -> StoredEvent | None:
        history = self._sessions.get(session)
        return history[-1] if history else None

    async def first(self, session: str) -> StoredEvent | None:
        history = self._sessions.get(session)
        return history[0] if history else None

    async def read(self, session: str, after: int = 0, upto: int | None = None) -> list[StoredEvent]:
        history = self._sessions.get(session, [])
        end = None if upto is None else bisect_right(history, upto, key=_seq)
        return history[bisect_right(history, after, key=_seq) : end]

    async def forget(self, session: str, before: int) -> None:
        """Forget the session's events with a sequence below `before`; its last event always stays."""
        history = self._sessions.get(session, [])
        del history[: min(bisect_right(history, before - 1, key=_seq), max(len(history) - 1, 0))]


class _Log:
    """Messages in the order they came, each in one partition, and whoever waits for more."""

    def __init__(self) -> None:
        self.partitions: defaultdict[int, list[Any]] = defaultdict(list)
        self.last = 0
        self.arrived = asyncio.Event()

    def add(self, partition: int, make: Callable[[int], Any]) -> int:
        self.last += 1
        self.partitions[partition].append(make(self.last))
        self.arrived.set()
        self.arrived = asyncio.Event()
        return self.last

    def purge(self, partition: int, upto: int) -> None:
        messages = self.partitions[partition]
        del messages[: bisect_right(messages, upto, key=_seq)]

    def after(self, partition: int, seq: int, limit: int) -> list[Any]:
        messages = self.partitions[partition]
        start = bisect_right(messages, seq, key=_seq)
        return messages[start : start + limit]


def _seq(message: Any) -> int:
    return int(message.seq)


class MemoryReader:
    """`Reader` of one partition of a log. Waits by the running loop's time, which a simulator may own."""

    def __init__(self, log: _Log, partition: int, after: int, refresh: Callable[[], float]) -> None:
        if after > log.last:
            raise LogRecreated(f"the log ends at {log.last}, but was read up to {after}: it is another log")
        self._log = log
        self._partition = partition
        self._seen = after
        self._refresh = refresh

    async def fetch(self, limit: int, wait: float) -> Sequence[Any]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            pause = self._refresh()
            if found := self._log.after(self._partition, self._seen, limit):
                self._seen = found[-1].seq
                return found
            if (left := deadline - loop.time()) <= 0:
                return []
            try:
                async with asyncio.timeout(min(left, pause)):
                    await self._log.arrived.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Nothing to let go of."""


class MemoryCommandLog:
    """`CommandLog` in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._log = _Log()
        self.rejections: dict[int, tuple[str, bytes]] = {}

    def accept(self, kind: CommandKind, session: str, data: bytes, id: str | None) -> int:
        at = self._bus.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        return self._log.add(
            self._bus.partition(session),
            lambda seq: CommandMessage(seq=seq, session=session, kind=kind, data=data, id=id, at=at),
        )

    async def created(self) -> str:
        return "memory"

    async def open(self, partition: int, after: int) -> MemoryReader:
        return MemoryReader(self._log, partition, after, lambda: float("inf"))

    async def purge(self, partition: int, upto: int) -> None:
        self._log.purge(partition, upto)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        self.rejections.setdefault(command_seq, (session, data))


class MemoryTimers:
    """`Timers` in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._log = _Log()
        self._set: dict[tuple[str, str], tuple[datetime, int]] = {}

    async def created(self) -> str:
        return "memory"

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        self._set[session, timer] = due, n
        self.fire_due()

    async def cancel(self, session: str, timer: str) -> None:
        self._set.pop((session, timer), None)

    async def open(self, partition: int, after: int) -> MemoryReader:
        return MemoryReader(self._log, partition, after, self._refresh)

    async def purge(self, partition: int, upto: int) -> None:
        self._log.purge(partition, upto)

    def pending(self, session: str) -> bool:
        """Whether a timer of the session is set and has not fired."""
        return any(name == session for name, _ in self._set)

    def next_due(self) -> datetime | None:
        return min((due for due, _ in self._set.values()), default=None)

    def fire_due(self) -> None:
        """Fire what is due, the earliest first."""
        now = self._bus.now()
        due = sorted((at, session, timer) for (session, timer), (at, _) in self._set.items() if at <= now)
        for _, session, timer in due:
            _, n = self._set.pop((session, timer))
            self._log.add(self._bus.partition(session), _fire(session, timer, n))

    def _refresh(self) -> float:
        """Fire what is due; seconds after which to look again."""
        self.fire_due()
        due = self.next_due()
        if due is None:
            return float("inf")
        return min(max((due - self._bus.now()).total_seconds(), 0.001), _RECHECK)


def _fire(session: str, timer: str, n: int) -> Callable[[int], Fire]:
    return lambda seq: Fire(seq=seq, session=session, timer=timer, n=n)


class _Revisions:
    """Values by key, each with the revision that wrote it."""

    def __init__(self) -> None:
        self.values: dict[Any, tuple[int, Any]] = {}
        self._last = 0

    def put(self, key: Any, value: Any) -> int:
        self._last += 1
        self.values[key] = self._last, value
        return self._last


class MemoryCheckpoints:
    """`Checkpoints` in memory."""

    def __init__(self) -> None:
        self._kept = _Revisions()

    async def read(self, partition: int) -> tuple[int, Checkpoint | None]:
        return self._kept.values.get(partition, (0, None))

    async def write(self, partition: int, revision: int, checkpoint: Checkpoint) -> int:
        actual, _ = self._kept.values.get(partition, (0, None))
        if actual != revision:
            raise WrongSequence(f"the checkpoint of partition {partition} is at {actual}, not {revision}")
        return self._kept.put(partition, checkpoint)


class MemoryLeases:
    """`Leases` in memory; a term is over when the bus's clock says so."""

    def __init__(self, bus: MemoryBus, ttl: float) -> None:
        self.term = ttl
        self._bus = bus
        self._ttl = timedelta(seconds=ttl)
        self._held = _Revisions()
        self._joined = 0
        self._members: dict[str, tuple[Member, datetime, Vitals]] = {}

    async def join(self, name: str) -> Member:
        self._joined += 1
        member = Member(name, self._joined)
        self._members[name] = member, self._bus.now() + self._ttl, Vitals()
        return member

    async def acquire(self, partition: int, owner: Member) -> int | None:
        holder = self._holder(partition)
        if holder is not None and (holder[1].name != owner.name or holder[1].incarnation > owner.incarnation):
            return None
        return self._take(partition, owner)

    async def renew(self, partition: int, owner: Member, revision: int) -> int | None:
        holder = self._holder(partition)
        return self._take(partition, owner) if holder is not None and holder[0] == revision else None

    async def release(self, partition: int, owner: Member, revision: int) -> None:
        if self._holder(partition) == (revision, owner):
            del self._held.values[partition]

    def incarnation(self, name: str) -> int:
        """Of who lives under a name; 0: nobody does."""
        member, until, _ = self._members.get(name, (Member(name, 0), self._bus.now(), None))
        return member.incarnation if until > self._bus.now() else 0

    async def announce(self, member: Member, vitals: Vitals) -> bool:
        if self.incarnation(member.name) > member.incarnation:
            return False
        self._members[member.name] = member, self._bus.now() + self._ttl, vitals
        return True

    async def withdraw(self, member: Member) -> None:
        if member.name in self._members and self._members[member.name][0] == member:
            del self._members[member.name]

    async def members(self) -> dict[str, Vitals]:
        now = self._bus.now()
        return {name: vitals for name, (_, until, vitals) in sorted(self._members.items()) if until > now}

    def _take(self, partition: int, owner: Member) -> int:
        return self._held.put(partition, (owner, self._bus.now() + self._ttl))

    def _holder(self, partition: int) -> tuple[int, Member] | None:
        """The revision and the owner of a lease whose term is not over."""
        if partition not in self._held.values:
            return None
        revision, (owner, until) = self._held.values[partition]
        return (revision, owner) if until > self._bus.now() else None


class MemoryDefinitions:
    """`Definitions` in memory."""

    def __init__(self) -> None:
        self._stored: dict[str, bytes] = {}
        self._names: dict[str, str] = {}
        self._versions: dict[str, list[str]] = {}

    async def put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        self._stored.setdefault(digest, data)
        return digest

    async def get(self, digest: str) -> bytes | None:
        return self._stored.get(digest)

    async def name(self, name: str, digest: str) -> None:
        if digest not in self._stored:
            raise Refused(f"no definition is stored under the digest {digest}")
        versions = self._versions.setdefault(name, [])
        if digest not in versions:
            versions.append(digest)
        self._names[name] = digest

    async def resolve(self, name: str) -> str | None:
        return self._names.get(name)

    async def versions(self, name: str) -> list[str]:
        return list(self._versions.get(name, ()))

    async def names(self) -> dict[str, str]:
        return dict(self._names)


class MemorySnapshots:
    """`Snapshots` in memory: those that somebody put here, right or wrong. `asked` counts the questions."""

    def __init__(self) -> None:
        self.images: dict[str, bytes] = {}
        self.asked = 0

    async def get(self, session: str) -> bytes | None:
        self.asked += 1
        return self.images.get(session)
