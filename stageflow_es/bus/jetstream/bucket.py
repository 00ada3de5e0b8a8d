"""A key-value bucket, reduced to what checkpoints, leases and definitions need: compare-and-set, terms,
leader reads.

nats-py's own would do, but for two things: its update drops a key's term, and its get may ask a follower.
"""

from __future__ import annotations

from stageflow_es.bus.jetstream.direct_get import Stored, every, from_leader
from stageflow_es.bus.jetstream.link import WRONG_SEQUENCE, ApiError, Headers, Link
from stageflow_es.engine.ports import WrongSequence

_PAGE = 512


class Bucket:
    """The bucket `name`. Keys are made of subject tokens."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def last(self, key: str) -> Stored | None:
        """What the leader has under `key`, a marker of its deletion included."""
        return await from_leader(self._link, self._stream, {"last_by_subj": self._prefix + key})

    async def get(self, key: str) -> Stored | None:
        stored = await self.last(key)
        return None if stored is None or stored.marker else stored

    async def put(self, key: str, data: bytes, *, expected: int | None = None, ttl: int | None = None) -> int:
        """Write and return the revision. `ttl`: seconds until it vanishes. Raises WrongSequence,
        Unanswered.
        """
        return await self._write(key, data, expected, ttl, {})

    async def delete(self, key: str, *, expected: int | None = None) -> None:
        """Replace the value by a marker that vanishes after a second. Raises WrongSequence, Unanswered."""
        await self._write(key, b"", expected, 1, {"KV-Operation": "DEL"})

    async def under(self, prefix: str) -> list[tuple[str, Stored]]:
        """Keys (without `prefix` and its dot) and values, in the order they were written. May lag behind."""
        start = f"{self._prefix}{prefix}."
        found = await every(self._link, self._stream, start + "*", _PAGE)
        return [(stored.subject[len(start) :], stored) for stored in found if not stored.marker]

    async def _write(self, key: str, data: bytes, expected: int | None, ttl: int | None, headers: Headers) -> int:
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if ttl is not None:
            headers["Nats-TTL"] = f"{ttl}s"
        try:
            return await self._link.store(self._prefix + key, data, headers or None)
        except ApiError as error:
            if error.number in WRONG_SEQUENCE:
                raise WrongSequence(f"{key} is not at revision {expected}") from error
            raise error.as_bus_error(key) from error
