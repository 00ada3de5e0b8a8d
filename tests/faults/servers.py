"""The NATS servers of a world: one as shipped, or a cluster of several that keep every stream on all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import msgspec

from stageflow_es.bus.jetstream import find_server
from stageflow_es.bus.jetstream.link import ApiError, Link
from stageflow_es.engine.ports import BusError
from tests.faults.network import NOWHERE, Network
from tests.faults.processes import Process, free_port

_LEADER_WITHIN = 1.0
_COPIED_WITHIN = 30.0
_STATE = ("messages", "bytes", "first_seq", "last_seq", "num_deleted", "num_subjects")


class Servers:
    """`count` of them in `folder`. `jetstream`: further lines of their `jetstream` block; `config`: of their
    configuration. The processes are in `all`; clients reach them at `ports`, each name being `names`'s."""

    def __init__(self, folder: Path, count: int, jetstream: str = "", config: str = "") -> None:
        self.ports = [free_port() for _ in range(count)]
        self.monitors = [free_port() for _ in range(count)] if count > 1 else []
        self._routes = [free_port() for _ in self.monitors]
        self.network = Network(self._routes)
        self.all = [self._process(folder, number, f"  {jetstream}\n}}\n{config}\n") for number in range(count)]

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{port}" for port in self.ports]

    def _process(self, folder: Path, number: int, further: str) -> Process:
        name = f"nats-server{number}" if self._routes else "nats-server"
        config = folder / f"{name}.conf"
        store = json.dumps(str(folder / name))
        config.write_text(
            f"listen: 127.0.0.1:{self.ports[number]}\n{self._cluster(number)}"
            f"jetstream {{\n  store_dir: {store}\n  sync_interval: always\n{further}"
        )
        return Process(name, [str(find_server()), "-c", str(config)], {}, folder / f"{name}.log")

    def _cluster(self, number: int) -> str:
        """With `no_advertise`, or clients would learn of ways to the servers that do not lead through their proxies."""
        if not self._routes:
            return ""
        others = ", ".join(f"'nats-route://127.0.0.1:{port}'" for port in self.network.routes(number))
        return (
            f"server_name: n{number}\nhttp: 127.0.0.1:{self.monitors[number]}\ncluster {{\n  name: c\n"
            f"  listen: 127.0.0.1:{self._routes[number]}\n  routes: [{others}]\n"
            f"  advertise: '{NOWHERE}'\n  no_advertise: true\n  ping_interval: 4s\n  ping_max: 2\n}}\n"
        )

    async def start(self, servers: Sequence[Process] | None = None) -> None:
        """Start these, or all that do not run."""
        await self.network.open()
        down = [server for server in self.all if not server.alive] if servers is None else servers
        for server in down:
            await server.start()
        for server in down:
            await server.until_said("Server is ready")

    async def leader(self, link: Link, stream: str) -> Process | None:
        """Who leads a stream, if anybody does just now and can say so."""
        try:
            info = await link.api(f"STREAM.INFO.{stream}", within=_LEADER_WITHIN)
        except (ApiError, BusError):
            return None
        name = (info.get("cluster") or {}).get("leader")
        return self.all[int(name[1:])] if name else None

    async def differing(self) -> list[str]:
        """Streams of which not every server has the same copy, once they had time to make them."""
        deadline = asyncio.get_running_loop().time() + _COPIED_WITHIN
        while True:
            states = [await asyncio.to_thread(_states, port) for port in self.monitors]
            names = sorted({name for state in states for name in state})
            wrong = [name for name in names if any(state.get(name) != states[0].get(name) for state in states)]
            if not wrong or asyncio.get_running_loop().time() > deadline:
                return [f"the copies of {name} differ: {[state.get(name) for state in states]}" for name in wrong]
            await asyncio.sleep(0.5)


def _states(monitor: int) -> dict[str, Any]:
    """What a server's own copies of the streams hold, by their names."""
    with urlopen(f"http://127.0.0.1:{monitor}/jsz?streams=true") as answer:
        accounts = msgspec.json.decode(answer.read())["account_details"]
    streams = [stream for account in accounts for stream in account.get("stream_detail", [])]
    return {stream["name"]: [stream["state"].get(field, 0) for field in _STATE] for stream in streams}
