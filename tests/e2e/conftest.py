"""An engine on the shared server, under a prefix of its own, and stages that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any, ClassVar

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.client import Client, connect
from stageflow_es.client.follow import type_of
from stageflow_es.engine import Engine
from stageflow_es.stages import BaseStage

_prefixes = count(1)


class Ask(BaseStage):
    """Waits for an answer; only numbers count as one."""

    stage_name = "Ask"
    skipable = True
    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "answer", "payload_schema": {"type": "number"}}]

    async def run(self) -> None:
        answer = await self.wait_input("answer", timeout=None)
        assert answer is not None
        self.set_outputs({"answer": answer["payload"]})


class Doomed(BaseStage):
    """Fails the first time in every session."""

    stage_name = "Doomed"
    tried: ClassVar[set[str]] = set()

    async def run(self) -> None:
        if self.session.id not in self.tried:
            self.tried.add(self.session.id)
            raise ValueError("broken")


STAGES: dict[str, type[BaseStage]] = {"Ask": Ask, "Doomed": Doomed}


def pipeline(stage: str, **fields: Any) -> dict[str, Any]:
    """One stage, then the end."""
    first = {"id": "first", "type": "stage", "stage": stage, "next": "end", **fields}
    return {"entry": "first", "nodes": [first, {"id": "end", "type": "terminal", "artifacts": ["answer"]}]}


ASK = pipeline("Ask", outputs={"answer": "answer"})
DOOMED = pipeline("Doomed")


@pytest.fixture
async def bus(nats_server: EmbeddedServer) -> AsyncIterator[JetStreamBus]:
    settings = BusSettings(prefix=f"e2e{next(_prefixes)}", partitions=2)
    bus = await JetStreamBus.connect(nats_server.url, settings)
    yield bus
    await bus.close()


@pytest.fixture
async def engine(bus: JetStreamBus) -> AsyncIterator[Engine]:
    engine = Engine(bus, name="engine", stages=STAGES)
    await engine.start()
    yield engine
    await engine.stop()


@pytest.fixture
async def client(nats_server: EmbeddedServer, bus: JetStreamBus) -> AsyncIterator[Client]:
    async with connect(nats_server.url, prefix=bus.settings.prefix, timeout=20) as client:
        yield client


async def until(client: Client, session: str, kind: str) -> None:
    """Return when the stored history has an event of a type."""
    journal = client.journal(session)
    async with asyncio.timeout(20):
        while True:
            if any(type_of(one.data) == kind for one in await journal.read()):
                return
            await asyncio.sleep(0.005)
