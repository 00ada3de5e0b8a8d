"""The projector and the query service, wired: each can run alone or with the other in one process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from services.logs import log_as_json
from services.settings import Settings
from stageflow_es import __version__
from stageflow_es.bus.jetstream import BusSettings, connect
from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.micro import MicroService, largest_answer
from stageflow_es.bus.jetstream.streams import check_server
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.address import resolve
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import StageFlowError
from stageflow_es.process import give_way, settle
from stageflow_es.projection import Health, Outdated, Projector, Queries, Reader, Store, endpoints, rebuild
from stageflow_es.stages import catalog
from stageflow_es.stages.modules import load_stages

OK, OPERATOR = 0, 3
RENEW_PAUSE = 1.0
"""Seconds after which a file is made anew again, where the bus did not answer."""

log = structlog.get_logger(__name__)


class Wiring:
    """One connection to the bus, and what a projection needs of it."""

    def __init__(self, link: Link, settings: Settings) -> None:
        bus = BusSettings(prefix=settings.prefix)
        self.settings = settings
        self.link = link
        self.feed = JetStreamEventFeed(link, bus)
        self.definitions = JetStreamDefinitions(link, Names(settings.prefix))


Role = Callable[[Wiring, asyncio.Event], Awaitable[None]]
"""Something to run until it is asked to stop."""


async def project(wiring: Wiring, asked: asyncio.Event) -> None:
    """Follow the events into the file. A file of an older release is made anew first."""
    path = wiring.settings.path
    path.parent.mkdir(parents=True, exist_ok=True)
    store = Store(path)
    stopping = asyncio.create_task(asked.wait())
    renewing = asyncio.create_task(_renew(wiring, store))
    try:
        await asyncio.wait({renewing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not renewing.done():
            return
        renewing.result()
        await Projector(wiring.feed, wiring.definitions, store).run_until(asked)
    finally:
        stopping.cancel()
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
        await store.close()


async def _renew(wiring: Wiring, store: Store) -> None:
    """Make a file of an older release anew, as soon as the bus answers."""
    try:
        await store.checkpoint()
    except Outdated as problem:
        log.warning("projection_rebuilt", reason=str(problem))
        while True:
            try:
                await rebuild(store.path, wiring.feed, wiring.definitions)
                return
            except Unanswered as away:
                log.warning("projection_interrupted", problem=str(away), again_in=RENEW_PAUSE)
                await asyncio.sleep(RENEW_PAUSE)


async def answer(wiring: Wiring, asked: asyncio.Event) -> None:
    """Answer queries from the file."""
    load_stages(wiring.settings.stage_modules)
    client = wiring.link.client
    reader = Reader(wiring.settings.path)
    queries = Queries(reader, wiring.feed, wiring.definitions, largest=largest_answer(client) - 1024)
    handlers = endpoints(queries, Health(reader, wiring.feed), catalog())
    service = MicroService(client, wiring.settings.prefix, handlers, __version__)
    try:
        await service.start()
        await asked.wait()
        await service.stop()
    finally:
        await reader.close()


@asynccontextmanager
async def wired(settings: Settings) -> AsyncIterator[Wiring]:
    """Connect, and let go at the end. Raises OperatorError, also for a server that is too old."""
    address = resolve()
    bus = BusSettings(prefix=settings.prefix)
    connection = await connect(address.servers, within=bus.connect_timeout, **address.options)
    try:
        check_server(connection)
        link = await Link.open(connection, bus.request_timeout)
        yield Wiring(link, settings)
        await link.close()
    finally:
        await connection.close()


async def serve(settings: Settings, roles: Sequence[Role]) -> None:
    """Run until SIGTERM or SIGINT, or until one of the roles fails."""
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with wired(settings) as wiring:
        log.info("started", prefix=settings.prefix, db=settings.db)
        settle()
        running = [asyncio.ensure_future(role(wiring, asked)) for role in roles]
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.set()
            outcomes = await asyncio.gather(*running, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        log.info("stopped")


def main(name: str, *roles: Role) -> int:
    """The exit code: 0 stopped as asked; 3 the installation is not as it should be, and the message says what to do."""
    log_as_json()
    if project in roles:
        give_way()
    try:
        asyncio.run(serve(Settings.read(os.environ), roles))
    except KeyboardInterrupt:  # it had not begun
        return OK
    except (StageFlowError, OSError) as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        return OPERATOR
    return OK
