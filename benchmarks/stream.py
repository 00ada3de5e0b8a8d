"""A server with a stream of histories on it and no engine, and our programs beside it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.histories import fill
from benchmarks.rig import ROOT
from stageflow_es.bus.jetstream import EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream.link import Link

PATIENCE = 240.0


class Stream:
    """Made with `filled`. `directory` goes when it ends."""

    def __init__(self, directory: Path, url: str, link: Link) -> None:
        self.directory = directory
        self.link = link
        self._url = url

    @classmethod
    @asynccontextmanager
    async def filled(cls, sessions: int, at_once: int) -> AsyncIterator[Stream]:
        """With the events of so many sessions, so many of them under way at any moment."""
        with tempfile.TemporaryDirectory(prefix="bench-") as path:
            server = EmbeddedServer(Path(path) / "nats")
            await asyncio.to_thread(server.start)
            try:
                bus = await JetStreamBus.connect(server.url)
                await fill(bus, sessions, at_once)
                link = await Link.open(bus.connection, PATIENCE)
                yield cls(Path(path), server.url, link)
                await link.close()
                await bus.close()
            finally:
                await asyncio.to_thread(server.stop)

    @asynccontextmanager
    async def running(self, module: str, *arguments: str, db: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One of our programs, on the projection `db` in the directory, for as long as the block."""
        environment = {
            **os.environ,
            "NATS_URL": self._url,
            "STAGEFLOW_DB": str(self.directory / db),
            "PYTHONPATH": str(ROOT),
        }
        with (self.directory / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, *arguments, env=environment, stderr=log, stdout=log, cwd=self.directory
            )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
