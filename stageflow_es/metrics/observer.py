"""One reading of all sources, for however many ask at once; each source within its time, and said to be down where it
cannot be read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from stageflow_es import __version__
from stageflow_es.client import Client
from stageflow_es.doctor.insight import Insight
from stageflow_es.doctor.patient import Patient
from stageflow_es.engine.ports import Unanswered
from stageflow_es.log import logger
from stageflow_es.metrics.engines import engines
from stageflow_es.metrics.exposition import Family, Sample
from stageflow_es.metrics.partitions import partitions, unread
from stageflow_es.metrics.projection import projection
from stageflow_es.metrics.streams import account, streams

log = logger(__name__)

SOURCE_WITHIN = 3.0
"""Seconds for one source. A connection, the streams, and then all others side by side: scrapers wait for ten."""
SHARED_FOR = 1.0
"""Seconds since a reading began within which it is given to others who ask: the bus is not asked more often."""

T = TypeVar("T")
Source = Callable[[Patient], Awaitable[list[Family]]]
BUS, STREAMS = "bus", "streams"
OTHERS: dict[str, Source] = {
    "account": account,
    "engines": engines,
    "partitions": partitions,
    "readers": unread,
    "projection": projection,
}


class Observer:
    """Reads an installation. `open_client` connects to it; that is done when somebody asks first, and again when the
    connection was closed for good."""

    def __init__(self, open_client: Callable[[], Awaitable[Client]]) -> None:
        self._open_client = open_client
        self._client: Client | None = None
        self._reading: asyncio.Task[list[Family]] | None = None
        self._began = 0.0
        self._problems: dict[str, str] = {}

    async def read(self) -> list[Family]:
        """What there is to say now, or was a moment ago. Raises nothing for what is wrong."""
        now = asyncio.get_running_loop().time()
        if self._reading is None or (self._reading.done() and now - self._began > SHARED_FOR):
            self._began = now
            self._reading = asyncio.create_task(self._read(), name="metrics")
        return await asyncio.shield(self._reading)

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._drop()

    async def _read(self) -> list[Family]:
        up = dict.fromkeys((BUS, STREAMS, *OTHERS), False)
        families: list[Family] = []
        client = await self._sure(BUS, self._connected())
        if client is not None:
            up[BUS] = True
            patient = Patient(client, Insight())
            found = [await self._sure(STREAMS, streams(patient))]
            found += await asyncio.gather(*(self._sure(name, source(patient)) for name, source in OTHERS.items()))
            for name, one in zip((STREAMS, *OTHERS), found, strict=True):
                up[name] = one is not None
                families += one or []
        return [_build(), _up(up), *families]

    async def _sure(self, source: str, reading: Awaitable[T]) -> T | None:
        """What a source says; None, and the reason in the log when it is a new one: it says nothing just now."""
        try:
            async with asyncio.timeout(SOURCE_WITHIN):
                found = await reading
        except TimeoutError:
            self._note(source, "no answer in time")
        except Exception as problem:  # whatever it is, the other sources are wanted all the same
            self._note(source, str(problem) or type(problem).__name__)
        else:
            self._note(source, None)
            return found
        return None

    def _note(self, source: str, problem: str | None) -> None:
        before = self._problems.get(source)
        if problem is None:
            if self._problems.pop(source, None) is not None:
                log.info("source_back", source=source)
        elif problem != before:
            self._problems[source] = problem
            log.warning("source_down", source=source, problem=problem)

    async def _connected(self) -> Client:
        if self._client is not None and self._client.link.client.is_closed:
            await self._drop()
        if self._client is None:
            self._client = await self._open_client()
        if not (connection := self._client.link.client).is_connected:
            raise Unanswered(connection.absence())
        return self._client

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # it is of no use any more
                await client.close()


def _build() -> Family:
    sample = Sample({"version": __version__}, 1)
    return Family(name="build", help="The release that made this page.", kind="info", samples=[sample])


def _up(up: dict[str, bool]) -> Family:
    return Family(
        name="up",
        help="Whether a source could be read; where not, its numbers are left out.",
        samples=[Sample({"source": name}, int(is_up)) for name, is_up in up.items()],
    )
