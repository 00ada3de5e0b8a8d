"""Definitions in memory, by digest and by name."""

from __future__ import annotations

from hashlib import sha256

from stageflow_es.engine.ports import Refused


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
