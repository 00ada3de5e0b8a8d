"""Everything StageFlow needs, in this process: for `stageflow up` and the demo."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import structlog

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.engine import Engine


class Installation:
    """A NATS server of its own, an engine, a projector and the query service. Their data is in `directory`.

    `port` 0: any free one. The stages that are registered when it is entered are those it can run. Entering raises
    OperatorError when the port is taken, or there is no nats-server program.
    """

    def __init__(
        self, directory: Path, *, port: int = 4222, prefix: str = "stageflow", partitions: int = 8, name: str = "up"
    ) -> None:
        self.server = EmbeddedServer(directory / "nats", port=port)
        self._bus = BusSettings(prefix=prefix, partitions=partitions)
        self._directory = directory
        self._name = name
        self._running = AsyncExitStack()
        self._engine: Engine | None = None

    @property
    def url(self) -> str:
        return self.server.url

    async def __aenter__(self) -> Installation:
        try:
            await self._start()
        except BaseException:
            await self._running.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    async def wait(self) -> None:
        """Return when something of it has stopped; raises what stopped it."""
        assert self._engine is not None
        await self._engine.wait()

    async def _start(self) -> None:
        await asyncio.to_thread(self.server.start)
        self._running.push_async_callback(asyncio.to_thread, self.server.stop)
        bus = await JetStreamBus.connect(self.url, self._bus)
        self._running.push_async_callback(bus.close)
        self._engine = Engine(bus, name=self._name)
        await self._engine.start()
        self._running.push_async_callback(self._engine.stop)


def log_warnings() -> None:
    """Log warnings and worse to stderr; the rest is of no interest to somebody at a terminal."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
