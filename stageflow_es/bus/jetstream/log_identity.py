"""Whether a log is still the one that was read: created when that was, and as long at least."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow_es.bus.jetstream.link import NO_STREAM, ApiError, Link
from stageflow_es.engine.ports import LogRecreated, Unanswered

_BELIEVED_AFTER = 30.0
"""Seconds for which a cluster has to say that a log is shorter than what was read of it."""


async def created(link: Link, stream: str) -> str:
    """When the stream was created. Raises LogRecreated when there is none."""
    return str((await _info(link, stream))["created"])


async def _info(link: Link, stream: str, within: float | None = None) -> dict[str, Any]:
    try:
        return await link.api(f"STREAM.INFO.{stream}", within=within)
    except ApiError as error:
        if error.number == NO_STREAM:
            raise LogRecreated(f"the stream {stream} is gone") from error
        raise Unanswered(f"the stream {stream} cannot be looked at: {error}") from error


class LogIdentity:
    """Of one stream, for one reader."""

    def __init__(self, link: Link, stream: str) -> None:
        self._link = link
        self._stream = stream
        self._born = ""
        self._shorter_since: float | None = None

    async def holds(self, read: int, within: float | None = None) -> bool:
        """Whether the stream has all that was `read`, the highest sequence so far. In a cluster False proves nothing:
        while nobody leads the stream any of its servers answers, one that lags behind too. It is to be asked again.
        Raises LogRecreated when it is another stream, Unanswered."""
        info = await _info(self._link, self._stream, within)
        born, last = str(info["created"]), int(info["state"]["last_seq"])
        self._born = self._born or born
        clustered = bool((info.get("cluster") or {}).get("name"))
        if born != self._born or (last < read and not (clustered and self._may_lag())):
            raise LogRecreated(
                f"the stream {self._stream}, created {born}, ends at {last}, but was read up to {read}: it is another "
                "stream of the same name. Restore the old one, or remove the checkpoints"
            )
        if last >= read:
            self._shorter_since = None
        return last >= read

    def _may_lag(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._shorter_since is None:
            self._shorter_since = now
        return now - self._shorter_since < _BELIEVED_AFTER
