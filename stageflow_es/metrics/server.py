"""HTTP for scrapers: one request a connection, small ones only, from few at a time, none for long."""

from __future__ import annotations

import asyncio
from types import TracebackType

from stageflow_es.errors import OperatorError
from stageflow_es.log import logger
from stageflow_es.metrics.listening import Listen
from stageflow_es.metrics.observer import Observer
from stageflow_es.metrics.page import FAULT, TOO_LARGE, TOO_LATE, TOO_MANY, Answer, answer

log = logger(__name__)

LARGEST = 8192
"""Bytes of a request's head."""
MOST = 64
"""Connections at a time."""
ASKED_WITHIN = 5.0
"""Seconds a request may take to come."""
TAKEN_WITHIN = 10.0
"""Seconds an answer may take to be taken."""


class MetricsServer:
    """Serves what `observer` reads at `/metrics`, for as long as it is entered; it closes the observer then. Entering
    raises OperatorError when that address cannot be listened on."""

    def __init__(self, listen: Listen, observer: Observer) -> None:
        self._listen = listen
        self._observer = observer
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where the page is."""
        assert self._server is not None
        port = self._server.sockets[0].getsockname()[1]
        return Listen(self._listen.host, port).url

    async def __aenter__(self) -> MetricsServer:
        host, port = self._listen.host, self._listen.port
        try:
            self._server = await asyncio.start_server(self._accept, host, port, limit=LARGEST)
        except OSError as problem:
            raise OperatorError(
                f"metrics cannot be served at {host}:{port} ({problem.strerror or problem}): name another address"
            ) from problem
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._observer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MOST:
            writer.write(TOO_MANY.encode())
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = await self._answer(reader)
            if found is not None:
                writer.write(found.encode())
                async with asyncio.timeout(TAKEN_WITHIN):
                    await writer.drain()
                    writer.close()
                    await writer.wait_closed()
        except (TimeoutError, OSError):
            pass  # whoever asked has gone, or takes nothing
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader) -> Answer | None:
        """None: whoever was there has gone."""
        try:
            async with asyncio.timeout(ASKED_WITHIN):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return TOO_LATE
        except asyncio.LimitOverrunError:
            return TOO_LARGE
        except asyncio.IncompleteReadError:
            return None
        try:
            return await answer(head, self._observer.read)
        except Exception:
            log.exception("metrics_failed")
            return FAULT
