"""Which fault comes when, from a seed. Faults of different targets overlap; one target has one fault at a time."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from random import Random

import msgspec

from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.engine.ports import BusError
from tests.faults.network import PARTINGS, ways_cut
from tests.faults.processes import Process
from tests.faults.proxy import Proxy, acknowledgement
from tests.faults.world import World

OPERATOR = 3
NOT_NOW = (
    "cannot connect to NATS",
    "JetStream does not answer",
    "the server did not answer",
    "database is locked",
)
"""What a process says that cannot begin just now."""
LED = ("STAGEFLOW_EVENTS", "STAGEFLOW_COMMANDS", "STAGEFLOW_TIMERS", "KV_STAGEFLOW_ENGINES")
"""Streams whose leaders are faults' targets."""

Made = tuple[str, str, Callable[[float], Awaitable[None]], float]
"""A fault's target, its kind, what inflicts it, and for how long."""


class Fault(msgspec.Struct, frozen=True):
    """What was done to what, when (seconds after the start), and for how long."""

    at: float
    target: str
    kind: str
    seconds: float


class Chaos:
    """Puts faults to the processes of a world. `pace`: seconds between faults on average. Over `link`, which leads
    straight to the servers, leaders are found and told to step down.

    `recoveries`: seconds from an engine's or a server's start to the engine's or anybody's next event, by target.
    """

    def __init__(
        self, world: World, engines: dict[str, Process], others: dict[str, Process], proxies: dict[str, Proxy],
        link: Link, rng: Random, pace: float,
    ) -> None:  # fmt: skip
        self.timeline: list[Fault] = []
        self.restarts: list[tuple[str, float]] = []
        self.refused_starts = 0
        self.deaths: list[str] = []
        self._world = world
        self._engines = engines
        self._others = others
        self._proxies = proxies
        self._servers = {server.name: server for server in world.servers.all}
        self._link = link
        self._rng = rng
        self._pace = pace
        self.began = asyncio.get_running_loop().time()
        self._held: set[str] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def kinds(self) -> Counter[str]:
        return Counter(f"{fault.target.rstrip('0123456789')} {fault.kind}" for fault in self.timeline)

    async def run(self, seconds: float) -> None:
        """Faults for so long; afterwards everything runs again and nothing is cut off."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            self._begin_one()
            await asyncio.sleep(min(self._rng.expovariate(1 / self._pace), max(until - loop.time(), 0)))
            await self.look_after()
        await asyncio.gather(*self._under_way)
        await self.calm()

    async def calm(self) -> None:
        for proxy in self._proxies.values():
            proxy.mend()
        await self.look_after()

    async def look_after(self) -> None:
        """Start again what ended by itself, and note it: nothing may, but what finds no server to begin with, or
        a locked database, says so and ends, as it would have its supervisor start it again."""
        for name, process in {**self._engines, **self._others}.items():
            if process.alive or process.ended_by_us or process.returncode is None or name in self._held:
                continue
            said = process.said()
            if process.returncode == OPERATOR and any(reason in said.strip().rsplit("\n", 1)[-1] for reason in NOT_NOW):
                self.refused_starts += 1
            else:
                self.deaths.append(f"{name} ended with {process.returncode}: {said[-2000:]}")
            await self._start(name, process)

    async def _start(self, name: str, process: Process) -> None:
        await process.start()
        self.restarts.append((name, process.spawned))

    def _begin_one(self) -> None:
        rng = self._rng
        table: list[tuple[float, Callable[[], Made]]] = [
            (30, lambda: self._of(self._engines, "kill -9", self._kill, rng.choice([0, 0, 0.3, 1, 4]))),
            (8, lambda: self._of(self._engines, "stop", self._stop, rng.choice([0, 0.5]))),
            (10, lambda: self._of(self._engines, "freeze", self._freeze, rng.choice([0.3, 1, 3, 5]))),
            *(self._of_the_cluster() if len(self._servers) > 1 else self._of_the_server()),
            (10, lambda: self._of(self._others, "kill -9", self._kill, rng.choice([0, 0.5]))),
            (3, lambda: self._of(self._others, "freeze", self._freeze, rng.choice([0.3, 2]))),
            (2, lambda: ("database", "lock", self._lock, rng.choice([0.5, 6]))),
            (8, lambda: self._of(self._proxies, "cut", self._cut, rng.choice([0, 0.5, 3]))),
            (6, lambda: self._of(self._proxies, "stall", self._stall, rng.choice([0.5, 2, 7]))),
            (6, lambda: self._of(self._proxies, "delay", self._delay, rng.choice([1, 3]))),
            (10, lambda: self._of(self._proxies, "lose answers", self._lose, rng.choice([0.5, 2]))),
        ]
        make = rng.choices([make for _, make in table], [weight for weight, _ in table])[0]
        target, kind, inflict, seconds = make()
        if target in self._held:
            return
        self._held.add(target)
        at = asyncio.get_running_loop().time() - self.began
        self.timeline.append(Fault(round(at, 2), target, kind, seconds))
        task = asyncio.get_running_loop().create_task(self._inflict(target, inflict, seconds))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def _of_the_server(self) -> list[tuple[float, Callable[[], Made]]]:
        rng = self._rng
        return [
            (10, lambda: self._of(self._servers, "kill -9", self._kill_server, rng.choice([0, 0.2, 1]))),
            (3, lambda: self._of(self._servers, "stop", self._stop_server, rng.choice([0, 0.5]))),
            (4, lambda: self._of(self._servers, "freeze", self._freeze, rng.choice([0.2, 1, 3]))),
        ]

    def _of_the_cluster(self) -> list[tuple[float, Callable[[], Made]]]:
        """Rarer than those of one server: until others lead what a server led takes them seconds."""
        rng = self._rng
        return [
            (2, lambda: self._of(self._servers, "kill -9", self._kill_server, rng.choice([0, 1, 12]))),
            (2, lambda: ("leader", "kill -9", self._kill_leader, rng.choice([0, 1, 12]))),
            (1, lambda: ("leader", "freeze", self._freeze_leader, rng.choice([1, 6, 12]))),
            (3, lambda: ("leader", "step down", self._step_down, 0)),
            (1, lambda: self._of(self._servers, "stop", self._stop_server, rng.choice([0, 3]))),
            (1, lambda: self._of(self._servers, "freeze", self._freeze, rng.choice([0.2, 3, 12]))),
            (1, lambda: ("all but one server", "kill -9", self._kill_all_but_one, rng.choice([0.5, 6]))),
            *((share, partial(self._parting, kind)) for kind, share in PARTINGS.items()),
        ]

    def _parting(self, kind: str) -> Made:
        """Half of them part the leader of a stream, who others do not know of at once to be none any more."""
        led = self._rng.random() < 0.5
        target = "network of a leader" if led else "network of a server"
        return target, kind, lambda seconds: self._part(kind, led, seconds), self._rng.choice([1, 5, 15])

    def _of(
        self, targets: dict[str, Process] | dict[str, Proxy], kind: str,
        inflict: Callable[[str, float], Awaitable[None]], seconds: float,
    ) -> Made:  # fmt: skip
        name = self._rng.choice(sorted(targets))
        target = f"{name} connection" if targets is self._proxies else name
        return target, kind, lambda given: inflict(name, given), seconds

    async def _inflict(self, target: str, inflict: Callable[[float], Awaitable[None]], seconds: float) -> None:
        try:
            await inflict(seconds)
        finally:
            self._held.discard(target)

    # --- processes ---

    def _process(self, name: str) -> Process:
        return {**self._engines, **self._others, **self._servers}[name]

    async def _kill(self, name: str, seconds: float) -> None:
        process = self._process(name)
        await process.end(signal.SIGKILL)
        await asyncio.sleep(seconds)
        await self._start(name, process)

    async def _stop(self, name: str, seconds: float) -> None:
        process = self._process(name)
        if await process.end(signal.SIGTERM) == -signal.SIGKILL:
            self.deaths.append(f"{name} did not stop when it was asked to: {process.said()[-2000:]}")
        await asyncio.sleep(seconds)
        await self._start(name, process)

    async def _freeze(self, name: str, seconds: float) -> None:
        process = self._process(name)
        process.send(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        process.send(signal.SIGCONT)

    # --- servers ---

    async def _kill_server(self, name: str, seconds: float) -> None:
        await self._end_servers([self._servers[name]], signal.SIGKILL, seconds)

    async def _stop_server(self, name: str, seconds: float) -> None:
        await self._end_servers([self._servers[name]], signal.SIGTERM, seconds)

    async def _end_servers(self, servers: list[Process], number: signal.Signals, seconds: float) -> None:
        await asyncio.gather(*(server.end(number) for server in servers))
        await asyncio.sleep(seconds)
        await self._world.servers.start(servers)
        self.restarts.append(("nats-server", asyncio.get_running_loop().time()))

    async def _kill_leader(self, seconds: float) -> None:
        async with self._leading() as servers:
            await self._end_servers(servers, signal.SIGKILL, seconds)

    async def _freeze_leader(self, seconds: float) -> None:
        async with self._leading() as servers:
            for server in servers:
                await self._freeze(server.name, seconds)

    async def _kill_all_but_one(self, seconds: float) -> None:
        free = [server for name, server in self._servers.items() if name not in self._held]
        async with self._holding(self._rng.sample(free, min(len(self._servers) - 1, len(free)))) as servers:
            await self._end_servers(servers, signal.SIGKILL, seconds)

    async def _part(self, kind: str, led: bool, seconds: float) -> None:
        servers, network = self._world.servers.all, self._world.servers.network
        one, other = self._rng.sample(range(len(servers)), 2)
        leader = await self._world.servers.leader(self._link, self._rng.choice(LED)) if led else None
        if leader is not None and servers.index(leader) != one:
            one, other = servers.index(leader), one
        ways, how = ways_cut(kind, one, other, len(servers))
        network.bar(ways, how)
        if kind == "cut off with an engine":
            await self._strand(one, seconds)
        else:
            await asyncio.sleep(seconds)
        network.clear(ways, how)

    async def _strand(self, server: int, seconds: float) -> None:
        """Let an engine and the clients reach one server only."""
        proxies = [self._proxies[self._rng.choice(sorted(self._engines))], self._proxies["clients"]]
        for proxy in proxies:
            proxy.only = server
            proxy.cut()
        await asyncio.sleep(seconds)
        for proxy in proxies:
            proxy.only = None

    async def _step_down(self, _: float) -> None:
        with suppress(ApiError, BusError):
            await self._link.api(f"STREAM.LEADER.STEPDOWN.{self._rng.choice(LED)}")

    @asynccontextmanager
    async def _leading(self) -> AsyncIterator[list[Process]]:
        """Who leads one of the streams, for this fault alone; nobody if nobody does, or another fault has it."""
        leader = await self._world.servers.leader(self._link, self._rng.choice(LED))
        async with self._holding([] if leader is None or leader.name in self._held else [leader]) as servers:
            yield servers

    @asynccontextmanager
    async def _holding(self, servers: list[Process]) -> AsyncIterator[list[Process]]:
        names = {server.name for server in servers}
        self._held |= names
        try:
            yield servers
        finally:
            self._held -= names

    # --- the database ---

    async def _lock(self, seconds: float) -> None:
        with suppress(sqlite3.OperationalError), closing(sqlite3.connect(self._world.db, timeout=0.1)) as other:
            other.isolation_level = None
            other.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(seconds)
            other.execute("ROLLBACK")

    # --- connections ---

    async def _cut(self, name: str, seconds: float) -> None:
        proxy = self._proxies[name]
        proxy.refusing = seconds > 0
        proxy.cut()
        await asyncio.sleep(seconds)
        proxy.refusing = False

    async def _stall(self, name: str, seconds: float) -> None:
        proxy = self._proxies[name]
        proxy.stalled = True
        await asyncio.sleep(seconds)
        proxy.stalled = False

    async def _delay(self, name: str, seconds: float) -> None:
        proxy = self._proxies[name]
        proxy.delay = self._rng.choice([0.02, 0.2])
        await asyncio.sleep(seconds)
        proxy.delay = 0.0

    async def _lose(self, name: str, seconds: float) -> None:
        proxy = self._proxies[name]
        share = self._rng.choice([0.05, 0.5, 1.0])
        proxy.lose = lambda line, payload: acknowledgement(line, payload) and self._rng.random() < share
        await asyncio.sleep(seconds)
        proxy.lose = None
