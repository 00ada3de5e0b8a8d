"""DBOS: a library over a database: SQLite, or PostgreSQL where DBOS_SYSTEM_DATABASE_URL names one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, SetWorkflowID

from benchmarks.peers.work import STEPS, Work, program

_done = 0


@DBOS.step()
async def step(value: int) -> int:
    global _done
    _done += 1
    return value + 1


@DBOS.workflow()
async def chain() -> int:
    value = 0
    for _ in range(STEPS):
        value = await step(value)
    return value


@DBOS.workflow()
async def asking() -> Any:
    await DBOS.set_event_async("waits", True)
    return await DBOS.recv_async("answer", timeout_seconds=3600)


class Dbos(Work):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        url = os.environ.get("DBOS_SYSTEM_DATABASE_URL", f"sqlite:///{directory / 'dbos.db'}")
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "application_version": "1",
        }
        DBOS(config=config)

    async def open(self) -> None:
        await asyncio.to_thread(DBOS.launch)

    async def close(self) -> None:
        pass  # the process ends, and nothing else was started

    @property
    def steps_done(self) -> int:  # type: ignore[override]
        return _done

    async def run(self, name: str) -> None:
        with SetWorkflowID(name):
            assert await chain() == STEPS

    async def ask(self, name: str) -> None:
        with SetWorkflowID(name):
            await DBOS.start_workflow_async(asking)
        await DBOS.get_event_async(name, "waits", timeout_seconds=60)

    async def answer(self, name: str) -> None:
        await DBOS.send_async(name, {"approved": True}, topic="answer")
        handle: Any = await DBOS.retrieve_workflow_async(name)
        await handle.get_result(polling_interval_sec=0.001)

    async def recover(self, names: list[str]) -> None:
        """It goes on by itself once it is launched."""
        for name in names:
            handle: Any = await DBOS.retrieve_workflow_async(name, existing_workflow=False)
            assert await handle.get_result(polling_interval_sec=0.01) == STEPS


if __name__ == "__main__":
    program(Dbos)
