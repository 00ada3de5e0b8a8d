"""Leases and members: keys with a term that their owner renews by writing them again.

A member's key is written by compare-and-set, and the revision of its first writing is the incarnation: it grows with
every life that begins under the name, and a request to join that went unanswered cannot replace who joined after it.
"""

from __future__ import annotations

import logging

import msgspec

from stageflow_es.bus.jetstream.bucket import Bucket
from stageflow_es.bus.jetstream.direct_get import Stored
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names, token
from stageflow_es.engine.ports import Member, WrongSequence
from stageflow_es.engine.vitals import Vitals

_log = logging.getLogger(__name__)


class _Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    engine: str
    incarnation: int = 0


class _Alive(msgspec.Struct, frozen=True, omit_defaults=True):
    """`incarnation` 0: this is the first writing, its revision is the incarnation."""

    engine: str
    incarnation: int = 0
    vitals: Vitals = Vitals()


_alive = msgspec.json.Decoder(_Alive)
_holder = msgspec.json.Decoder(_Holder)


class JetStreamLeases:
    """`Leases` in the engines' bucket; a term is `settings.lease_ttl` seconds."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._bucket = Bucket(link, Names(settings.prefix).engines)
        self._ttl = settings.lease_ttl
        self.term = float(settings.lease_ttl)

    async def join(self, name: str) -> Member:
        while True:
            stored = await self._bucket.last(_key(name))
            revision = await self._say(_Alive(name), stored)
            if revision is not None:
                return Member(name, revision)

    async def acquire(self, partition: int, owner: Member) -> int | None:
        stored = await self._bucket.last(_lease(partition))
        if stored is not None and not stored.marker:
            holder = _holder.decode(stored.data)
            if holder.engine != owner.name or holder.incarnation > owner.incarnation:
                return None
        return await self._take(partition, owner, stored.seq if stored else 0)

    async def renew(self, partition: int, owner: Member, revision: int) -> int | None:
        return await self._take(partition, owner, revision)

    async def release(self, partition: int, owner: Member, revision: int) -> None:
        try:
            await self._bucket.delete(_lease(partition), expected=revision)
        except WrongSequence as error:
            _log.debug("%s released partition %d late: %s", owner.name, partition, error)

    async def announce(self, member: Member, vitals: Vitals) -> bool:
        stored = await self._bucket.last(_key(member.name))
        if _incarnation(stored) > member.incarnation:
            return False
        # A refused writing is for the next announcement: it was overtaken by an own earlier one, or by who joined.
        await self._say(_Alive(member.name, member.incarnation, vitals), stored)
        return True

    async def withdraw(self, member: Member) -> None:
        stored = await self._bucket.last(_key(member.name))
        if stored is None or _incarnation(stored) != member.incarnation:
            return
        try:
            await self._bucket.delete(_key(member.name), expected=stored.seq)
        except WrongSequence as error:
            _log.debug("%s withdrew late: %s", member.name, error)

    async def members(self) -> dict[str, Vitals]:
        found = [_alive.decode(stored.data) for _, stored in await self._bucket.under("member")]
        return {member.engine: member.vitals for member in sorted(found, key=lambda one: one.engine)}

    async def _say(self, alive: _Alive, known: Stored | None) -> int | None:
        expected = known.seq if known else 0
        try:
            return await self._bucket.put(
                _key(alive.engine), msgspec.json.encode(alive), expected=expected, ttl=self._ttl
            )
        except WrongSequence:
            return None

    async def _take(self, partition: int, owner: Member, expected: int) -> int | None:
        data = msgspec.json.encode(_Holder(owner.name, owner.incarnation))
        try:
            return await self._bucket.put(_lease(partition), data, expected=expected, ttl=self._ttl)
        except WrongSequence:
            return None


def _incarnation(stored: Stored | None) -> int:
    """Whose a member's key is; 0: nobody's."""
    if stored is None or stored.marker:
        return 0
    return _alive.decode(stored.data).incarnation or stored.seq


def _lease(partition: int) -> str:
    return f"lease.{partition}"


def _key(engine: str) -> str:
    return f"member.{token(engine)}"
