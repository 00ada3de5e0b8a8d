"""Which sessions an operator means: by status, pipeline, labels and age, as the projection has them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from stageflow_es.client.queries import BAD, QueryRefused, SessionInfo, checked
from stageflow_es.errors import Problem

if TYPE_CHECKING:
    from stageflow_es.client.client import Client

PAGE = 500
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_AGE = re.compile(r"(?:\d+[wdhms])+")


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """What sessions have in common; nothing given: all of them. `pipeline`: its name, or `name@digest`. `older_than`:
    they ended so long ago, or where they have not ended, nothing has happened in them for so long."""

    status: str | None = None
    pipeline: str | None = None
    labels: dict[str, str] = {}
    older_than: timedelta | None = None

    @property
    def everything(self) -> bool:
        """Whether it leaves nothing out."""
        return self == Selection()

    def has(self, row: SessionInfo, now: datetime) -> bool:
        """Whether a session is one of them."""
        return (
            self.status in (None, row.status)
            and runs(row, self.pipeline)
            and self.labels.items() <= row.labels.items()
            and (self.older_than is None or now - last_seen(row) >= self.older_than)
        )


def runs(row: SessionInfo, pipeline: str | None) -> bool:
    """Whether a session runs a pipeline: `name`, or of its versions `name@digest` (or the digest's beginning)."""
    name, _, digest = (pipeline or "").partition("@")
    return name in ("", row.pipeline) and row.digest.startswith(digest)


def age(text: str) -> timedelta:
    """A time as `2d`, `12h`, `1d12h30m`. Raises ValueError."""
    if not _AGE.fullmatch(text):
        raise ValueError(f"{text!r} is no time: say 30d, 12h, 45m or 1d12h")
    parts = re.findall(r"(\d+)([wdhms])", text)
    try:
        return sum((timedelta(**{_UNITS[unit]: int(count)}) for count, unit in parts), timedelta())
    except OverflowError:
        raise ValueError(f"{text!r} is longer than time itself") from None


def last_seen(row: SessionInfo) -> datetime:
    """When a session ended, or where it has not ended, when something last happened in it."""
    moment = row.finished_at or row.updated_at or row.started_at
    return datetime.fromisoformat(moment) if moment else datetime.now(UTC)


def _check(wanted: Selection) -> None:
    if not isinstance(wanted, Selection):
        message = f"sessions are selected by a Selection, such as Selection(status='failed'), not by {wanted!r:.80}"
        raise QueryRefused(BAD, [Problem(message=message)])
    checked(msgspec.structs.asdict(wanted), Selection)


async def select(client: Client, wanted: Selection) -> AsyncGenerator[SessionInfo]:
    """The sessions, the latest started first. Raises QueryRefused for what is no selection, and OperatorError when no
    query service answers."""
    _check(wanted)
    now = datetime.now(UTC)
    label = next((f"{name}={value}" for name, value in wanted.labels.items()), None)
    rows = client.sessions(status=wanted.status, pipeline=wanted.pipeline, label=label, page=PAGE)
    async with aclosing(rows) as found:
        async for row in found:
            if wanted.has(row, now):
                yield row
