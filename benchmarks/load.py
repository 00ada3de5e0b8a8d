"""The client's side of a benchmark: it publishes commands and sees the events as any subscriber does."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Self

import msgspec

from benchmarks.stages import chain
from stageflow_es.bus.jetstream import connect
from stageflow_es.bus.jetstream.connection import Connection, Listener
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.outbox import Outbox

ENDS = (b'{"type":"session_completed"', b'{"type":"session_failed"', b'{"type":"session_stopped"')
WAITS = b'{"type":"waiting_for_input"'
PATIENCE = 30.0


class Load:
    """One connection. `events` counts what was seen."""

    def __init__(self, connection: Connection, link: Link) -> None:
        self.events = 0
        self._connection = connection
        self._link = link
        self._outbox = Outbox(link)
        self._ended: dict[str, asyncio.Future[None]] = {}
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._names = itertools.count(1)
        self._stirred = asyncio.Event()
        self._listener: Listener | None = None

    @classmethod
    async def open(cls, url: str) -> Self:
        connection = await connect(url)
        load = cls(connection, await Link.open(connection, PATIENCE))
        load._listener = await connection.listen_to_parts("stageflow.events.*", load._see)
        await connection.listen("stageflow.rejections.*", load._refuse)
        await connection.flush()
        return load

    async def close(self) -> None:
        await self._outbox.close()
        await self._link.close()
        await self._connection.close()

    async def warm(self) -> None:
        """Have one session run to its end: everything is up then. A start that comes before the streams are there is
        sent again.
        """
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    await self.run(chain(10))
                    return
                except Exception:
                    await asyncio.sleep(0.05)

    async def run(self, pipeline: dict[str, Any]) -> str:
        """Start a session and see it end; its id."""
        session = await self.start(pipeline)
        await self._ended[session]
        del self._ended[session]
        return session

    async def many(self, pipeline: dict[str, Any], sessions: int, at_once: int) -> float:
        """See that many sessions to their end, so many at once; the seconds it took."""
        left = iter(range(sessions))

        async def work() -> None:
            for _ in left:
                await self.run(pipeline)

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return time.perf_counter() - began

    async def answered(self, pipeline: dict[str, Any]) -> float:
        """Seconds from sending a session that waits its input to seeing its end."""
        session = await self.start(pipeline)
        await self.waits(session)
        began = time.perf_counter()
        await self.input(session, {"approved": True})
        await self.ended(session)
        return time.perf_counter() - began

    @property
    def link(self) -> Link:
        """For whoever has more to ask of the bus."""
        return self._link

    async def start(self, pipeline: dict[str, Any], payload: dict[str, Any] | None = None) -> str:
        """Start a session; returns when the bus has the command."""
        session = f"s{next(self._names)}"
        loop = asyncio.get_running_loop()
        self._ended[session], self._waiting[session] = loop.create_future(), loop.create_future()
        body = msgspec.json.encode({"pipeline": pipeline, "payload": payload or {}})
        await self._outbox.store(f"stageflow.command.start.{session}", body, session)
        return session

    async def input(self, session: str, payload: Any) -> None:
        """Send the input `answer`."""
        body = msgspec.json.encode({"type": "answer", "payload": payload})
        await self._link.store(f"stageflow.command.input.{session}", body)

    def forget_wait(self, session: str) -> None:
        """From now on `waits` means the session's next wait."""
        self._waiting[session] = asyncio.get_running_loop().create_future()

    async def waits(self, session: str) -> None:
        """Return once the session waits for its input."""
        await self._waiting[session]

    async def ended(self, session: str) -> None:
        """Return once the session has ended."""
        await self._ended[session]

    async def sees(self, events: int) -> None:
        """Return once so many events were seen in all."""
        while self.events < events:
            self._stirred.clear()
            await self._stirred.wait()

    def has_ended(self, session: str) -> bool:
        return self._ended[session].done()

    def _see(self, subject: bytes, reply: bytes, head: bytes, data: bytes) -> None:
        self.events += 1
        self._stirred.set()
        if data.startswith(ENDS):
            told = self._ended
        elif data.startswith(WAITS):
            told = self._waiting
        else:
            return
        future = told.get(subject.rsplit(b".", 1)[1].decode())
        if future is not None and not future.done():
            future.set_result(None)

    def _refuse(self, message: Incoming) -> None:
        """Whoever waits for a session that was refused learns why."""
        session = message.subject.rsplit(".", 1)[1]
        for told in (self._ended, self._waiting):
            future = told.get(session)
            if future is not None and not future.done():
                future.set_exception(RuntimeError(f"session {session} was refused: {message.data.decode()}"))
                future.exception()  # nobody has to look at both
