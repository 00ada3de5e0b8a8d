"""The two buses under one contract. A `Rig` is a bus, and how a test makes time pass on it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine.ports import Bus, Reader

from .cluster import Cluster, forget_runs
from .servers import USERS, Configured

_prefixes = count(1)


class Rig:
    """`bus` with two partitions and leases of one second."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus

    def now(self) -> datetime:
        raise NotImplementedError

    async def until(self, moment: datetime) -> None:
        """Let the bus's time reach `moment`."""
        raise NotImplementedError

    async def second_bus(self) -> Bus:
        """Another process's view of the same bus."""
        raise NotImplementedError

    def leases_run_out(self) -> None:
        """Let what a dead engine held run out, where time does not pass by itself."""

    async def close(self) -> None:
        await self.bus.close()


class MemoryRig(Rig):
    bus: MemoryBus

    def now(self) -> datetime:
        return self.bus.now()

    async def until(self, moment: datetime) -> None:
        self.bus.advance(moment)

    async def second_bus(self) -> Bus:
        return self.bus

    def leases_run_out(self) -> None:
        self.bus.advance(self.bus.now() + timedelta(seconds=2))


class JetStreamRig(Rig):
    bus: JetStreamBus

    def __init__(self, bus: JetStreamBus, server: EmbeddedServer) -> None:
        super().__init__(bus)
        self._server = server
        self._others: list[JetStreamBus] = []

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def until(self, moment: datetime) -> None:
        await asyncio.sleep(max((moment - self.now()).total_seconds(), 0))

    async def second_bus(self) -> Bus:
        other = await JetStreamBus.connect(self._server.url, self.bus.settings)
        self._others.append(other)
        return other

    async def close(self) -> None:
        for other in self._others:
            await other.close()
        await super().close()


def settings(**changes: object) -> BusSettings:
    """Settings under a prefix no other test has."""
    given = {"prefix": f"t{next(_prefixes)}", "partitions": 2, "lease_ttl": 1, "heartbeat": 0.2, **changes}
    return BusSettings(**given)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "jetstream"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    rig: Rig
    if request.param == "memory":
        rig = MemoryRig(MemoryBus(2, lease_ttl=1))
    else:
        server = request.getfixturevalue("nats_server")
        rig = JetStreamRig(await JetStreamBus.connect(server.url, settings()), server)
    yield rig
    await rig.close()


@pytest.fixture
async def jetstream(nats_server: EmbeddedServer) -> AsyncIterator[JetStreamBus]:
    bus = await JetStreamBus.connect(nats_server.url, settings())
    yield bus
    await bus.close()


@pytest.fixture
def bus(rig: Rig) -> Bus:
    return rig.bus


@pytest.fixture
async def cluster(rig: Rig) -> AsyncIterator[Cluster]:
    forget_runs()
    cluster = Cluster(rig)
    yield cluster
    await cluster.close()


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Configured]:
    """A server whose users may do different things, and the streams of the prefix `t` on it."""
    with Configured(tmp_path_factory.mktemp("users"), USERS) as server:
        asyncio.run(_set_up(server))
        yield server


async def _set_up(server: Configured) -> None:
    await (await JetStreamBus.connect(server.as_user("engine"), BusSettings(prefix="t"))).close()


async def take(reader: Reader, wanted: int) -> list[object]:
    """The next `wanted` messages; a test that waits in vain fails."""
    found: list[object] = []
    async with asyncio.timeout(10):
        while len(found) < wanted:
            found += await reader.fetch(wanted - len(found), 10)
    return found


def freeze(pid: int) -> None:
    """Stop a process of ours, and wait until all of it stands still: until then it may answer."""
    os.kill(pid, signal.SIGSTOP)
    os.waitpid(pid, os.WUNTRACED)
