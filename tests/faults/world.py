"""An installation: NATS servers as shipped, engines, a projector, a query service, each a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from stageflow_es.bus.jetstream import BusSettings, JetStreamBus
from stageflow_es.errors import OperatorError
from tests.faults.processes import READY_WITHIN, Process
from tests.faults.servers import Servers

STAGES = Path(__file__).parent / "stages.py"


class World:
    """One installation in `folder`, on `servers` NATS servers with a copy of each stream on each. `jetstream`: further
    lines of their `jetstream` block; `config`: further lines of their configuration."""

    def __init__(
        self, folder: Path, *, servers: int = 1, lease_ttl: int = 4, jetstream: str = "", config: str = "",
        partitions: int = 8,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.lease_ttl = lease_ttl
        self.db = folder / "projection.db"
        self.trace = folder / "trace"
        self.processes: list[Process] = []
        self._partitions = partitions
        folder.mkdir(parents=True, exist_ok=True)
        self.trace.touch()
        self.servers = Servers(folder, servers, jetstream, config)
        self.processes += self.servers.all

    @property
    def url(self) -> str:
        return ",".join(self.servers.urls)

    @property
    def server(self) -> Process:
        """The server, where there is one; else the first."""
        return self.servers.all[0]

    @property
    def bus_settings(self) -> BusSettings:
        replicas = len(self.servers.all)
        return BusSettings(lease_ttl=self.lease_ttl, partitions=self._partitions, replicas=replicas)

    async def start_server(self) -> None:
        """Start the servers that do not run."""
        await self.servers.start()

    async def bus(self) -> JetStreamBus:
        """A bus straight at the servers, once they have found each other; the streams are made if they are missing."""
        async with asyncio.timeout(READY_WITHIN):
            while True:
                try:
                    return await JetStreamBus.connect(self.servers.urls, self.bus_settings)
                except OperatorError:
                    if len(self.servers.all) == 1:
                        raise
                    await asyncio.sleep(0.2)

    def engine(self, name: str, url: str | None = None, **environment: str) -> Process:
        """An engine, not started yet."""
        return self._service(
            "engine", name, url, STAGEFLOW_ENGINE=name, STAGEFLOW_LEASE_TTL=str(self.lease_ttl), **environment
        )

    def projector(self, url: str | None = None) -> Process:
        return self._service("projector", "projector", url)

    def query(self, url: str | None = None) -> Process:
        return self._service("query", "query", url)

    def _service(self, service: str, name: str, url: str | None, **environment: str) -> Process:
        given = {
            "NATS_URL": url or self.url,
            "STAGEFLOW_STAGES": str(STAGES),
            "STAGEFLOW_DB": str(self.db),
            "STAGEFLOW_PARTITIONS": str(self._partitions),
            "STAGEFLOW_REPLICAS": str(len(self.servers.all)),
            "TRACE_FOLDER": str(self.folder),
            **environment,
        }
        command = [sys.executable, "-m", f"services.{service}"]
        return self._add(Process(name, command, given, self.folder / f"{name}.log"))

    def _add(self, process: Process) -> Process:
        self.processes.append(process)
        return process

    async def close(self) -> None:
        """End everything, whatever state it is in."""
        for process in reversed(self.processes):
            if process.alive:
                await process.end(signal.SIGKILL)
        await self.servers.network.close()
