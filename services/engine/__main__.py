"""An engine as a process: `python -m services.engine`; with `health` it says whether that engine is alive.

    NATS_URL                where the bus is (or NATS_CONTEXT; see `stageflow_es.client.address`)
    STAGEFLOW_PREFIX        subject prefix                                        stageflow
    STAGEFLOW_STAGES        modules or files with stages, comma-separated         none but the built-in ones
    STAGEFLOW_ENGINE        this engine's name, its own                           the host's name
    STAGEFLOW_PARTITIONS    partitions, fixed when the streams are created        8
    STAGEFLOW_REPLICAS      replicas of the streams                               1
    STAGEFLOW_LEASE_TTL     seconds a dead engine keeps its partitions            4
    STAGEFLOW_MAX_RUNNING   sessions whose stages run at once                     1000

SIGTERM and SIGINT hand the work over and end. Exit codes: 0 stopped as asked; 2 an argument it does not take; 3 the
installation is not as it should be, and the message says what to do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping

import msgspec

from services.arguments import word
from services.logs import log_as_json
from stageflow_es.bus.jetstream import BusSettings, JetStreamBus
from stageflow_es.client.address import resolve
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.leaving import run_stages
from stageflow_es.errors import OperatorError, StageFlowError
from stageflow_es.process import settle
from stageflow_es.stages.modules import load_stages

OK, UNHEALTHY, OPERATOR = 0, 1, 3
HEALTHY_WITHIN = 5.0


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says."""

    prefix: str = "stageflow"
    stages: str = ""
    engine: str = ""
    partitions: int = 8
    replicas: int = 1
    lease_ttl: int = 4
    max_running: int = 1000

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Raises OperatorError on a value that is none."""
        names = {name: environment.get(f"STAGEFLOW_{name.upper()}", "") for name in cls.__struct_fields__}
        given = {name: value for name, value in names.items() if value}
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as problem:
            raise OperatorError(f"the environment is wrong, STAGEFLOW_...: {problem}") from problem

    @property
    def name(self) -> str:
        return self.engine or socket.gethostname()


async def connect(settings: Settings) -> JetStreamBus:
    """The bus, with its streams created or checked."""
    address = resolve()
    bus = BusSettings(
        prefix=settings.prefix,
        partitions=settings.partitions,
        replicas=settings.replicas,
        lease_ttl=settings.lease_ttl,
    )
    return await JetStreamBus.connect(address.servers, bus, **address.options)


async def serve(settings: Settings) -> int:
    """Run an engine until a signal asks it to stop, or the installation turns out not to be as it should be."""
    load_stages(part.strip() for part in settings.stages.split(",") if part.strip())
    limits = EngineSettings(max_running=settings.max_running)
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    ended = {asyncio.create_task(asked.wait()), asyncio.create_task(_work(settings, limits))}
    done, pending = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for outcome in await asyncio.gather(*done, *pending, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    return OK


async def _work(settings: Settings, limits: EngineSettings) -> None:
    bus = await connect(settings)
    try:
        engine = Engine(bus, name=settings.name, settings=limits)
        try:
            await engine.start()
            settle()
            await engine.wait()
        finally:
            await engine.stop()
    finally:
        await bus.close()


async def healthy(settings: Settings) -> int:
    """Whether the engine of this name has said lately that it is alive."""
    async with asyncio.timeout(HEALTHY_WITHIN):
        bus = await connect(settings)
        try:
            return OK if settings.name in await bus.leases.members() else UNHEALTHY
        finally:
            await bus.close()


def main(arguments: list[str]) -> int:
    asked_for = word("engine", __doc__, arguments, ("health",))
    log_as_json()
    try:
        settings = Settings.read(os.environ)
        if asked_for == "health":
            return asyncio.run(healthy(settings))
        return run_stages(serve(settings), fault=OPERATOR)
    except KeyboardInterrupt:  # it had not begun
        return OK
    except (StageFlowError, OSError) as problem:
        print(f"engine: {problem or 'no answer in time'}", file=sys.stderr)
        return OPERATOR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
