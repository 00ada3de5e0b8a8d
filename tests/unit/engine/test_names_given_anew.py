"""Names of pipelines that are given, or given anew, while an engine runs."""

from __future__ import annotations

import asyncio

import msgspec

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.pipeline import canonical
from stageflow_es.session import events as ev


async def name(bus: MemoryBus, result: str) -> None:
    """Have `orders` mean a pipeline with this result."""
    definition = {"entry": "end", "nodes": [{"id": "end", "type": "terminal", "result": {"is": result}}]}
    await bus.definitions.name("orders", await bus.definitions.put(canonical(definition)))


async def result_of(bus: MemoryBus, session: str) -> dict[str, str] | None:
    """What a session comes to that is started by the name; None where its start is rejected."""
    seq = await bus.publish("start", session, msgspec.json.encode({"pipeline": "orders"}))
    async with asyncio.timeout(10):
        while seq not in bus.commands.rejections:
            history = [ev.decode(stored.data) for stored in await bus.events.read(session)]
            if history and isinstance(history[-1], ev.SessionCompleted):
                return history[-1].result
            await asyncio.sleep(0.005)
    return None


async def test_a_start_begins_what_its_name_means_when_it_is_sent_however_often_that_was_asked_for_before() -> None:
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages={})
    await engine.start()
    assert await result_of(bus, "too-early") is None
    await name(bus, "first")
    assert await result_of(bus, "s1") == {"is": "first"}
    await name(bus, "second")
    assert await result_of(bus, "s2") == {"is": "second"}
    await engine.stop()
