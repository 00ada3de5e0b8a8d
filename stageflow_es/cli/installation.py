"""Everything StageFlow needs: for `stageflow up` and the demo. The server and the projector are children of this
process, the rest is in it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

from stageflow_es import __version__
from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.micro import MicroService, largest_answer
from stageflow_es.cli import projector
from stageflow_es.cli.child import Child
from stageflow_es.client import Client, connect
from stageflow_es.engine import Engine
from stageflow_es.errors import OperatorError
from stageflow_es.log import logger
from stageflow_es.metrics import Listen, MetricsServer, Observer
from stageflow_es.projection import Damaged, Health, Outdated, Queries, Reader, Store, endpoints, rebuild
from stageflow_es.stages import catalog

log = logger(__name__)

DATABASE = "projection.db"
"""The projection's file in the directory."""
HAND_OVER_WITHIN = 10.0
_ENVELOPE = 1024
"""Bytes of an answer around what it holds."""


class Installation:
    """A NATS server of its own, an engine, a projector and the query service. Their data is in `directory`.

    `port` 0: any free one. `metrics`: where they are served, None: nowhere. The stages that are registered when it is
    entered are those it can run. Entering raises OperatorError when a port is taken, or there is no nats-server
    program.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int = 4222,
        prefix: str = "stageflow",
        partitions: int = 8,
        name: str = "up",
        metrics: Listen | None = None,
    ) -> None:
        self.server = EmbeddedServer(directory / "nats", port=port, prefix=prefix)
        self._bus = BusSettings(prefix=prefix, partitions=partitions)
        self._database = directory / DATABASE
        self._name = name
        self._metrics = metrics
        self.metrics_url: str | None = None
        self.projector: Child
        self._running = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

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
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def _start(self) -> None:
        starting = asyncio.get_running_loop().run_in_executor(None, self.server.start)
        self._running.push_async_callback(self._stop_server, starting)
        await asyncio.shield(starting)
        self._tasks.append(asyncio.create_task(self._watch_server()))
        self._running.callback(self._tasks[-1].cancel)
        bus = await JetStreamBus.connect(self.url, self._bus)
        self._running.push_async_callback(bus.close)
        await self._run_engine(bus)
        link = await Link.open(bus.connection, self._bus.request_timeout)
        self._running.push_async_callback(link.close)
        feed = JetStreamEventFeed(link, self._bus)
        await self._run_projector(bus, feed)
        await self._run_queries(bus, feed)
        if self._metrics is not None:
            await self._serve_metrics(self._metrics)

    async def _stop_server(self, starting: asyncio.Future[str]) -> None:
        """A thread that starts it goes on when whoever waits for it is cancelled: what it started would be left."""
        await asyncio.wait({starting})
        await asyncio.to_thread(self.server.stop)

    async def _watch_server(self) -> None:
        """End when the server ends by itself: everything else would wait for it for ever."""
        await asyncio.to_thread(self.server.wait)
        raise OperatorError(f"nats-server has ended, and nothing runs without it; {self.server.log} may say why")

    async def _run_engine(self, bus: JetStreamBus) -> None:
        engine = Engine(bus, name=self._name)
        self._running.push_async_callback(_hand_over, engine)
        await engine.start()
        self._tasks.append(asyncio.create_task(engine.wait()))

    async def _run_projector(self, bus: JetStreamBus, feed: JetStreamEventFeed) -> None:
        store = Store(self._database)
        try:
            await store.checkpoint()
        except (Damaged, Outdated) as problem:
            log.warning("projection_rebuilt", reason=str(problem))
            await rebuild(self._database, feed, bus.definitions)
        finally:
            await store.close()
        self.projector = child = await Child.start(
            "projector", projector.__name__, self.url, self._bus.prefix, str(self._database)
        )
        self._running.push_async_callback(child.stop)
        self._tasks.append(asyncio.create_task(child.wait()))
        self._running.callback(self._tasks[-1].cancel)

    async def _run_queries(self, bus: JetStreamBus, feed: JetStreamEventFeed) -> None:
        reader = Reader(self._database)
        self._running.push_async_callback(reader.close)
        largest = largest_answer(bus.connection) - _ENVELOPE
        queries = Queries(reader, feed, bus.definitions, largest=largest)
        handlers = endpoints(queries, Health(reader, feed), catalog())
        service = MicroService(bus.connection, self._bus.prefix, handlers, __version__)
        await service.start()
        self._running.push_async_callback(service.stop)

    async def _serve_metrics(self, listen: Listen) -> None:
        async def open_client() -> Client:
            return await connect(self.url, prefix=self._bus.prefix)

        server = await self._running.enter_async_context(MetricsServer(listen, Observer(open_client)))
        self.metrics_url = server.url


async def _hand_over(engine: Engine) -> None:
    """Stop in order; where the server does not answer any more, without."""
    try:
        async with asyncio.timeout(HAND_OVER_WITHIN):
            await engine.stop()
    except TimeoutError:
        await engine.kill()
