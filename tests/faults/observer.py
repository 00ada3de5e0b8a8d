"""Follows the log of events beside everything, straight from the server, through its restarts."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from stageflow_es.bus.jetstream import BusSettings, connect
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.log_reader import Delivery, LogReader
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import BusError
from stageflow_es.session import events as ev

LONGEST = 120.0
"""Seconds a session is waited for in vain."""
FINAL = (ev.SessionCompleted, ev.SessionStopped, ev.SessionFailed)


def outcome_of(history: list[ev.AnyEvent]) -> ev.AnyEvent | None:
    """The event that ended the session, if it has ended and was not retried since."""
    for event in reversed(history):
        if isinstance(event, FINAL):
            return event
        if not isinstance(event, ev.CommandRejected):
            return None
    return None


class Observer:
    """`histories`: the events of each session as they became durable. `last_by`: when each engine's last event was
    seen, by the event loop's clock."""

    def __init__(self, url: str, settings: BusSettings) -> None:
        self._url = url
        self._settings = settings
        self._names = Names(settings.prefix)
        self.histories: defaultdict[str, list[ev.AnyEvent]] = defaultdict(list)
        self.times: list[tuple[float, str]] = []
        self._wakers: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None
        self._link: Link | None = None

    async def start(self) -> Observer:
        connection = await connect(self._url)
        self._link = await Link.open(connection, 1.0)
        self._task = asyncio.get_running_loop().create_task(self._follow(self._link))
        return self

    async def _follow(self, link: Link) -> None:
        settings, names = self._settings, self._names
        reader = LogReader(link, settings, names.events, [names.event("*")], 0, lambda delivery: delivery)
        while True:
            try:
                await reader.start()
                break
            except BusError:
                await asyncio.sleep(0.05)
        while True:
            try:
                found = await reader.fetch(1000, 1.0)
            except BusError:
                await asyncio.sleep(0.05)
                continue
            for delivery in found:
                self._take(delivery)

    def _take(self, delivery: Delivery) -> None:
        event = ev.decode(delivery.data)
        self.histories[event.session].append(event)
        self.times.append((time.monotonic(), event.by))
        for waker in self._wakers.pop(event.session, []):
            if not waker.done():
                waker.set_result(None)

    async def until(self, session: str, holds: Callable[[list[ev.AnyEvent]], bool]) -> list[ev.AnyEvent]:
        """The history of a session once it `holds`."""
        while not holds(self.histories[session]):
            waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._wakers[session].append(waker)
            async with asyncio.timeout(LONGEST):
                await waker
        return self.histories[session]

    async def ended(self, session: str) -> ev.AnyEvent:
        """The outcome of a session, once it has one."""
        outcome = outcome_of(await self.until(session, lambda history: outcome_of(history) is not None))
        assert outcome is not None
        return outcome

    @property
    def events(self) -> int:
        return len(self.times)

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._link is not None:
            await self._link.client.close()
