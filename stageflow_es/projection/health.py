"""Whether the projection keeps up, and how far behind the stream it is."""

from __future__ import annotations

from typing import Literal

import msgspec

from stageflow_es.engine.ports import BusError
from stageflow_es.errors import OperatorError
from stageflow_es.projection.database import Unavailable
from stageflow_es.projection.feed import EventFeed
from stageflow_es.projection.reader import Reader

BEHIND = 1000
"""Stream sequences a projection may lag without a word about it."""


class HealthReport(msgspec.Struct, frozen=True, kw_only=True):
    """`seq`: the stream sequence the tables have come to, `last`: the stream's last one. `broken`: sessions whose
    history cannot be folded. `problem`: what somebody should look at, if anything."""

    status: Literal["ok", "behind", "failing"]
    seq: int | None = None
    last: int | None = None
    broken: int | None = None
    problem: str | None = None


class Health:
    """Looks at the tables and at the stream."""

    def __init__(self, reader: Reader, feed: EventFeed) -> None:
        self._reader = reader
        self._feed = feed

    async def report(self) -> HealthReport:
        """Never raises for what is wrong: it is in the report."""
        try:
            created, last = await self._feed.created(), await self._feed.last()
            stored = await self._reader.checkpoint()
            broken = await self._reader.broken()
        except (BusError, Unavailable, OperatorError) as problem:
            return HealthReport(status="failing", problem=str(problem))
        if stored.created not in ("", created) or stored.seq > last:
            other = f"the tables come from another stream, created {stored.created}: rebuild the projection"
            return HealthReport(status="failing", seq=stored.seq, last=last, broken=broken, problem=other)
        status: Literal["ok", "behind"] = "ok" if last - stored.seq <= BEHIND else "behind"
        return HealthReport(status=status, seq=stored.seq, last=last, broken=broken)
