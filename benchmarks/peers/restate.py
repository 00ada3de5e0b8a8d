"""Restate: its server as one process, the services in another, called over the server's ingress by this one.

What is killed is the process with the services, where the steps run: its server goes on, as it would.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from typing import Any

import aiohttp
import restate

from benchmarks.peers.work import STEPS, Work, program, resident

SERVER = os.environ.get("RESTATE_SERVER", "restate-server")
PORTS = ("ingress", "admin", "node", "services")

flow = restate.Workflow("Chain")
asking = restate.Workflow("Asking")


def _next(value: int) -> int:
    os.write(2, b".")  # how the steps are counted
    return value + 1


@flow.main()
async def run(ctx: restate.WorkflowContext) -> int:
    value = 0
    for number in range(STEPS):
        value = await ctx.run_typed(f"step{number}", _next, restate.RunOptions(), value)
    return value


@asking.main(name="run")
async def ask(ctx: restate.WorkflowContext) -> Any:
    return await ctx.promise("answer", type_hint=dict).value()


@asking.handler()
async def waits(ctx: restate.WorkflowSharedContext) -> bool:
    return True


@asking.handler()
async def answer(ctx: restate.WorkflowSharedContext, given: dict[str, Any]) -> None:
    await ctx.promise("answer", type_hint=dict).resolve(given)


def _free_ports() -> dict[str, int]:
    sockets = {name: socket.create_server(("127.0.0.1", 0)) for name in PORTS}
    ports = {name: one.getsockname()[1] for name, one in sockets.items()}
    for one in sockets.values():
        one.close()
    return ports


def _json(body: Any) -> dict[str, Any]:
    """A request's body; a handler that takes nothing refuses one, and its type."""
    return {} if body is None else {"data": json.dumps(body), "headers": {"Content-Type": "application/json"}}


class Restate(Work):
    """`ports.json` in the directory tells a new process where the server is."""

    async def open(self) -> None:
        known = self.directory / "ports.json"
        self._found = known.exists()
        self._ports = json.loads(known.read_text()) if self._found else _free_ports()
        known.write_text(json.dumps(self._ports))
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=["Content-Type"],
        )
        if not self._found:
            self._server = await self._start_server()
        self._services = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.peers.restate", "serve", str(self._ports["services"]),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        (self.directory / "services.pid").write_text(str(self._services.pid))
        self._counting = asyncio.create_task(self._count())
        if not self._found:
            await self._register()

    async def close(self) -> None:
        await self._http.close()
        self._services.kill()
        os.kill(int((self.directory / "server.pid").read_text()), signal.SIGKILL)

    async def _start_server(self) -> asyncio.subprocess.Process:
        settings = {
            "RESTATE_INGRESS__BIND_PORT": str(self._ports["ingress"]),
            "RESTATE_ADMIN__BIND_PORT": str(self._ports["admin"]),
            "RESTATE_BIND_PORT": str(self._ports["node"]),
            "RESTATE_BIND_IP": "127.0.0.1",
            "RESTATE_LISTEN_MODE": "tcp",
            "RESTATE_DISABLE_TELEMETRY": "true",
        }
        arguments = ["--no-logo", "--base-dir", str(self.directory / "restate")]
        with (self.directory / "server.log").open("wb") as log:
            server = await asyncio.create_subprocess_exec(
                SERVER, *arguments, env={**os.environ, **settings}, stdout=log, stderr=log
            )
        (self.directory / "server.pid").write_text(str(server.pid))
        return server

    async def _register(self) -> None:
        """Until the server takes it, and the services can be called."""
        url = f"http://127.0.0.1:{self._ports['admin']}/deployments"
        body = {"uri": f"http://127.0.0.1:{self._ports['services']}"}
        refused = "no answer"
        async with asyncio.timeout(30):
            while refused:
                try:
                    async with self._http.post(url, **_json(body)) as response:
                        refused = "" if response.status in (200, 201) else await response.text()
                except aiohttp.ClientError as problem:
                    refused = str(problem)
                await asyncio.sleep(0.1)
        await self.run("first")

    async def _count(self) -> None:
        assert self._services.stderr is not None
        while data := await self._services.stderr.read(65536):
            self.steps_done += data.count(b".")

    async def _call(self, service: str, name: str, handler: str, body: Any = None) -> Any:
        url = f"http://127.0.0.1:{self._ports['ingress']}/{service}/{name}/{handler}"
        async with self._http.post(url, **_json(body)) as response:
            if response.status >= 300:
                raise RuntimeError(f"{url}: {response.status} {await response.text()}")
            data = await response.read()
            return json.loads(data) if data else None

    async def run(self, name: str) -> None:
        assert await self._call("Chain", name, "run") == STEPS

    async def ask(self, name: str) -> None:
        await self._call("Asking", name, "run/send")
        await self._call("Asking", name, "waits")

    async def answer(self, name: str) -> None:
        attached = f"http://127.0.0.1:{self._ports['ingress']}/restate/workflow/Asking/{name}/attach"
        await self._call("Asking", name, "answer", {"approved": True})
        async with self._http.get(attached) as response:
            assert await response.json() == {"approved": True}

    async def recover(self, names: list[str]) -> None:
        """Ask for the result of each: those that were cut off go on by themselves."""
        for name in names:
            attached = f"http://127.0.0.1:{self._ports['ingress']}/restate/workflow/Chain/{name}/attach"
            async with self._http.get(attached) as response:
                if response.status == 404:
                    await self.run(name)  # its start had not reached the server
                else:
                    assert await response.json() == STEPS, await response.text()

    def memory(self) -> float:
        return resident(self._services.pid)


def _serve(port: int) -> None:
    import hypercorn
    import hypercorn.asyncio

    config = hypercorn.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = 2**31 - 1
    config.keep_alive_max_requests = 2**31 - 1
    config.keep_alive_timeout = 2**31 - 1
    application: Any = restate.app([flow, asking])
    asyncio.run(hypercorn.asyncio.serve(application, config))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]))
    else:
        program(Restate)
