"""Leases and members: keys with a term that their owner renews by writing them again."""

from __future__ import annotations

import logging

import msgspec

from stageflow_es.bus.jetstream.bucket import Bucket
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names, token
from stageflow_es.engine.ports import WrongSequence
from stageflow_es.engine.vitals import Vitals

_log = logging.getLogger(__name__)


class _Holder(msgspec.Struct, frozen=True):
    engine: str


class _Member(msgspec.Struct, frozen=True):
    engine: str
    vitals: Vitals = Vitals()


_members = msgspec.json.Decoder(_Member)


class JetStreamLeases:
    """`Leases` in the engines' bucket; a term is `settings.lease_ttl` seconds."""

    def __init__(self, link: Link, settings: BusSettings) -> None:
        self._bucket = Bucket(link, Names(settings.prefix).engines)
        self._ttl = settings.lease_ttl
        self.term = float(settings.lease_ttl)

    async def acquire(self, partition: int, owner: str) -> int | None:
        stored = await self._bucket.last(_lease(partition))
        if stored is not None and not stored.marker and _engine(stored.data) != owner:
            return None
        return await self._put(partition, owner, stored.seq if stored else 0)

    async def renew(self, partition: int, owner: str, revision: int) -> int | None:
        return await self._put(partition, owner, revision)

    async def release(self, partition: int, owner: str, revision: int) -> None:
        try:
            await self._bucket.delete(_lease(partition), expected=revision)
        except WrongSequence as error:
            _log.debug("%s released partition %d late: %s", owner, partition, error)

    async def announce(self, engine: str, vitals: Vitals) -> None:
        await self._bucket.put(_key(engine), msgspec.json.encode(_Member(engine, vitals)), ttl=self._ttl)

    async def withdraw(self, engine: str) -> None:
        await self._bucket.delete(_key(engine))

    async def members(self) -> dict[str, Vitals]:
        found = [_members.decode(stored.data) for _, stored in await self._bucket.under("member")]
        return {member.engine: member.vitals for member in sorted(found, key=lambda one: one.engine)}

    async def _put(self, partition: int, owner: str, expected: int) -> int | None:
        data = msgspec.json.encode(_Holder(owner))
        try:
            return await self._bucket.put(_lease(partition), data, expected=expected, ttl=self._ttl)
        except WrongSequence:
            return None


def _lease(partition: int) -> str:
    return f"lease.{partition}"


def _key(engine: str) -> str:
    return f"member.{token(engine)}"


def _engine(data: bytes) -> str:
    return msgspec.json.decode(data, type=_Holder).engine
