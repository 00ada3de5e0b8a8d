"""Temporal: its development server on SQLite, and a worker in this process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks.peers.work import STEPS, Work, program

QUEUE = "bench"
SERVER = os.environ.get("TEMPORAL_SERVER", "temporal")
_done = 0


@activity.defn
async def step(value: int) -> int:
    global _done
    _done += 1
    return value + 1


@workflow.defn
class Chain:
    @workflow.run
    async def run(self) -> int:
        value = 0
        for _ in range(STEPS):
            value = await workflow.execute_activity(step, value, start_to_close_timeout=timedelta(seconds=10))
        return value


@workflow.defn
class Asking:
    def __init__(self) -> None:
        self._answer: Any = None

    @workflow.run
    async def run(self) -> Any:
        await workflow.wait_condition(lambda: self._answer is not None)
        return self._answer

    @workflow.signal
    async def answer(self, given: Any) -> None:
        self._answer = given

    @workflow.query
    def waits(self) -> bool:
        return True


class Temporal(Work):
    sessions = 200

    async def open(self) -> None:
        known = self.directory / "server.json"
        if known.exists():
            self._pid, port = json.loads(known.read_text())
        else:
            self._pid, port = await self._start_server()
            known.write_text(json.dumps([self._pid, port]))
        async with asyncio.timeout(60):
            while True:
                try:
                    self._client = await Client.connect(f"127.0.0.1:{port}")
                    break
                except RuntimeError:
                    await asyncio.sleep(0.1)
        self._worker = Worker(
            self._client,
            task_queue=QUEUE,
            workflows=[Chain, Asking],
            activities=[step],
            workflow_runner=UnsandboxedWorkflowRunner(),
        )
        self._working = asyncio.create_task(self._worker.run())

    async def _start_server(self) -> tuple[int, int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        arguments = ["server", "start-dev", "--headless", "--port", str(port), "--log-level", "error"]
        data = str(self.directory / "temporal.db")
        with (self.directory / "server.log").open("wb") as log:
            server = await asyncio.create_subprocess_exec(
                SERVER, *arguments, "--db-filename", data, stdout=log, stderr=log
            )
        (self.directory / "server.pid").write_text(str(server.pid))
        return server.pid, port

    async def close(self) -> None:
        self._working.cancel()
        os.kill(self._pid, signal.SIGKILL)

    @property
    def steps_done(self) -> int:  # type: ignore[override]
        return _done

    async def run(self, name: str) -> None:
        assert await self._client.execute_workflow(Chain.run, id=name, task_queue=QUEUE) == STEPS

    async def ask(self, name: str) -> None:
        handle = await self._client.start_workflow(Asking.run, id=name, task_queue=QUEUE)
        await handle.query(Asking.waits)

    async def answer(self, name: str) -> None:
        handle: Any = self._client.get_workflow_handle(name)
        await handle.signal(Asking.answer, {"approved": True})
        assert await handle.result() == {"approved": True}

    async def recover(self, names: list[str]) -> None:
        """They go on by themselves once there is a worker."""
        for name in names:
            handle: Any = self._client.get_workflow_handle(name)
            assert await handle.result() == STEPS


if __name__ == "__main__":
    program(Temporal)
