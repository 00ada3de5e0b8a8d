"""Load, chaos, quiet, audit: one run from one seed."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import Counter
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import quantiles
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.link import Link
from stageflow_es.client import Client, connect
from tests.faults import audit
from tests.faults.chaos import Chaos, Fault
from tests.faults.clients import SCRIPTS, Clients
from tests.faults.observer import Observer
from tests.faults.proxy import Proxy
from tests.faults.standstill import standstills
from tests.faults.trace import read_trace
from tests.faults.world import World

QUIET_WITHIN = 90.0
"""Seconds the sessions may take to end once the faults have."""
LARGEST_ENGINE = 250 * 1024 * 1024
"""Bytes of memory an engine of the storm may come to."""


class Report(msgspec.Struct, kw_only=True):
    """What a storm was and what came of it; `wrong` is empty if all held."""

    seed: int
    seconds: float
    sessions: int = 0
    events: int = 0
    runs: int = 0
    faults: dict[str, int] = {}
    kills: int = 0
    repeated: int = 0
    unanswered: int = 0
    answers_lost: int = 0
    interrupted: int = 0
    refused_starts: int = 0
    recovery: dict[str, list[float]] = {}
    quiet_after: float = 0.0
    silences: list[tuple[float, float]] = []
    largest: dict[str, int] = {}
    scripts: dict[str, int] = {}
    timeline: list[Fault] = []
    wrong: list[str] = []


class Storm:
    """`seconds` of faults, a new one about every `pace` seconds, over about `load` sessions at a time."""

    def __init__(
        self, folder: Path, seed: int, seconds: float, *, servers: int = 1, engines: int = 3, pace: float = 1.0,
        load: int = 24,
    ) -> None:  # fmt: skip
        self.report = Report(seed=seed, seconds=seconds)
        self._rng = Random(seed)
        self._world = World(folder, servers=servers, lease_ttl=2)
        self._engine_count = engines
        self._pace = pace
        self._load = load
        self._proxies: dict[str, Proxy] = {}
        self._clients: list[Client] = []
        self._largest: Counter[str] = Counter()

    async def run(self) -> Report:
        """The whole of it. Everything it started has ended when it returns, however that comes."""
        try:
            await self._run()
        finally:
            for client in self._clients:
                await client.close()
            await self._world.close()
            for proxy in self._proxies.values():
                await proxy.close()
        return self.report

    async def _run(self) -> None:
        world, report = self._world, self.report
        await world.start_server()
        await (await world.bus()).close()
        for name in [*(f"engine{i}" for i in range(self._engine_count)), "projector", "clients"]:
            self._proxies[name] = await Proxy(*world.servers.ports).start()
        engines = {
            name: world.engine(name, proxy.url) for name, proxy in self._proxies.items() if name.startswith("engine")
        }
        others = {"projector": world.projector(self._proxies["projector"].url), "query": world.query()}
        for process in [*engines.values(), *others.values()]:
            await process.start()
        observer = await Observer(world.url, world.bus_settings).start()
        self._clients = [await connect(url) for url in (self._proxies["clients"].url, world.url)]
        clients = Clients(self._clients, observer, world.folder)
        chaos = Chaos(world, engines, others, self._proxies, observer.link, Random(self._rng.random()), self._pace)
        watching = asyncio.create_task(self._watch_memory([*engines.values(), *others.values()]))
        try:
            await self._play(clients, chaos)
            await self._audit(clients, observer)
        finally:
            watching.cancel()
            await observer.close()
            report.timeline = chaos.timeline
            report.faults = dict(sorted(chaos.kinds.items()))
            report.kills = sum(fault.kind == "kill -9" for fault in chaos.timeline)
            report.repeated, report.unanswered = clients.repeated, clients.unanswered
            report.interrupted, report.refused_starts = clients.interrupted, chaos.refused_starts
            report.answers_lost = sum(proxy.lost for proxy in self._proxies.values())
            report.recovery = _recoveries(chaos, observer)
            report.silences = _silences(chaos, observer)
            report.largest = dict(self._largest)
        report.wrong += chaos.deaths
        report.wrong += audit.logs(world.processes)
        report.wrong += [
            f"{name} took {size >> 20} MiB" for name, size in self._largest.items() if size > LARGEST_ENGINE
        ]

    async def _play(self, clients: Clients, chaos: Chaos) -> None:
        """New sessions for as long as there are faults; then wait for the last of them."""
        storm = asyncio.create_task(chaos.run(self.report.seconds))
        names = sorted(SCRIPTS)
        playing: dict[asyncio.Task[None], str] = {}
        number = 0
        while not storm.done():
            while len(playing) < self._load:
                name = names[number % len(names)]
                number += 1
                rng = Random(self._rng.random())
                task = asyncio.create_task(clients.play(name, f"{name}-{number}", rng))
                playing[task] = f"{name}-{number}"
            done, _ = await asyncio.wait({storm, *playing}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {storm}:
                playing.pop(task)  # type: ignore[arg-type]
                task.result()
        storm.result()
        began = time.monotonic()
        pending = set(playing)
        while pending and time.monotonic() - began < QUIET_WITHIN:
            _, pending = await asyncio.wait(pending, timeout=1)
            await chaos.look_after()
        self.report.quiet_after = time.monotonic() - began
        for task in pending:
            history = clients._observer.histories[playing[task]]
            tail = [repr(event)[:300] for event in history[-3:]]
            self.report.wrong.append(f"{playing[task]} has not ended; its last events are {tail}")
            task.cancel()
        await clients.settle()

    async def _audit(self, clients: Clients, observer: Observer) -> None:
        world, report, settings = self._world, self.report, self._world.bus_settings
        link = self._clients[-1].link
        histories = await audit.read_histories(link, settings)
        rejected = await self._rejections_settled(clients, link)
        pipelines = await audit.read_pipelines(link, histories)
        trace = read_trace(world.trace)
        report.sessions, report.runs = len(histories), sum(line.what == "run" for line in trace)
        report.events = sum(map(len, histories.values()))
        report.scripts = dict(Counter(session.split("-")[0] for session in histories))
        report.wrong += audit.chains(histories, pipelines)
        report.wrong += audit.outcomes(histories, clients.expected)
        report.wrong += audit.once_each(histories)
        report.wrong += audit.commands(histories, rejected, clients.sent)
        report.wrong += audit.never_again(histories, trace, standstills(world.processes, trace))
        await self._projected(max(records[-1].seq for records in histories.values()))
        report.wrong += await audit.projection(world.db, link, settings)
        report.wrong += await world.servers.differing()

    async def _rejections_settled(self, clients: Clients, link: Link) -> list[int]:
        """The rejections, once the engines have dealt with everything there is."""
        settings = self._world.bus_settings
        for _ in range(50):
            histories = await audit.read_histories(link, settings)
            rejected = await audit.read_rejections(link, settings)
            if not list(audit.commands(histories, rejected, clients.sent)):
                break
            await asyncio.sleep(0.2)
        return rejected

    async def _projected(self, last: int) -> None:
        """Wait until the projector has caught up."""
        reached = -1
        async with asyncio.timeout(QUIET_WITHIN):
            while reached < last:
                await asyncio.sleep(0.05)
                with closing(sqlite3.connect(self._world.db)) as connection:
                    (reached,) = connection.execute("SELECT seq FROM checkpoint").fetchone()

    async def _watch_memory(self, processes: list[Any]) -> None:
        while True:
            for process in processes:
                self._largest[process.name] = max(self._largest[process.name], process.rss())
            await asyncio.sleep(0.5)


def _recoveries(chaos: Chaos, observer: Observer) -> dict[str, list[float]]:
    """Seconds from an engine's restart to its own next event, and from the server's to anybody's."""
    found: dict[str, list[float]] = {"engine": [], "nats-server": []}
    for name, at in chaos.restarts:
        kind = "engine" if name.startswith("engine") else name
        if kind not in found:
            continue
        after = (time_ for time_, by in observer.times if time_ > at and (kind == "nats-server" or by == name))
        first = next(after, None)
        if first is not None:
            found[kind].append(first - at)
    return found


def _silences(chaos: Chaos, observer: Observer) -> list[tuple[float, float]]:
    """The longest times without any event, in seconds: when each began, as in the timeline, and how long it was."""
    gaps = ((after - before, before - chaos.began) for (before, _), (after, _) in pairwise(observer.times))
    return [(round(at, 2), round(gap, 2)) for gap, at in sorted(gaps, reverse=True)[:5]]


def percentiles(values: list[float]) -> tuple[float, float]:
    """The 50th and the 99th."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    cuts = quantiles(values, n=100, method="inclusive")
    return cuts[49], cuts[98]
