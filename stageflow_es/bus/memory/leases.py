"""Leases of partitions in memory, and the members that hold them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from stageflow_es.bus.memory.bucket import MemoryBucket
from stageflow_es.engine.ports import Member
from stageflow_es.engine.vitals import Vitals

if TYPE_CHECKING:
    from stageflow_es.bus.memory.bus import MemoryBus


class MemoryLeases:
    """`Leases` in memory; a term is over when the bus's clock says so."""

    def __init__(self, bus: MemoryBus, ttl: float) -> None:
        self.term = ttl
        self._bus = bus
        self._ttl = timedelta(seconds=ttl)
        self._held = MemoryBucket()
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
