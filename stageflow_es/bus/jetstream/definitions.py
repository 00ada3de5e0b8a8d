"""Definitions: canonical bytes by digest, names that point to digests, and every version a name has had.

A key's own history is at most 64 entries long, so a name's versions are keys of their own, in the order
they were first written.
"""

from __future__ import annotations

from hashlib import sha256

from stageflow_es.bus.jetstream.bucket import Bucket
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names, token
from stageflow_es.engine.ports import Refused, WrongSequence


class JetStreamDefinitions:
    """`Definitions` in the pipelines' bucket."""

    def __init__(self, link: Link, names: Names) -> None:
        self._bucket = Bucket(link, names.pipelines)

    async def put(self, data: bytes) -> str:
        digest = sha256(data).hexdigest()
        await self._once(f"definition.{digest}", data)
        return digest

    async def get(self, digest: str) -> bytes | None:
        stored = await self._bucket.get(f"definition.{token(digest)}")
        return stored.data if stored else None

    async def name(self, name: str, digest: str) -> None:
        if await self.get(digest) is None:
            raise Refused(f"no definition is stored under the digest {digest}")
        await self._once(f"version.{token(name)}.{digest}", b"")
        await self._bucket.put(f"name.{token(name)}", f"{digest}\n{name}".encode())

    async def resolve(self, name: str) -> str | None:
        stored = await self._bucket.get(f"name.{token(name)}")
        return stored.data.decode().split("\n", 1)[0] if stored else None

    async def versions(self, name: str) -> list[str]:
        return [digest for digest, _ in await self._bucket.under(f"version.{token(name)}")]

    async def names(self) -> dict[str, str]:
        found = {}
        for _, stored in await self._bucket.under("name"):
            digest, name = stored.data.decode().split("\n", 1)
            found[name] = digest
        return found

    async def _once(self, key: str, data: bytes) -> None:
        try:
            await self._bucket.put(key, data, expected=0)
        except WrongSequence:
            return  # it is there already
