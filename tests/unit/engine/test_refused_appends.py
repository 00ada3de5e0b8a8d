"""A bus that refuses what a session is to store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.engine.ports import Refused
from stageflow_es.session import events as ev
from stageflow_es.stages import get_stages
from tests.e2e.conftest import STAGES

ONE_STAGE: dict[str, Any] = {
    "entry": "one",
    "nodes": [
        {"id": "one", "type": "stage", "stage": "IncrementStage", "outputs": {"value": "one"}, "next": "end"},
        {"id": "end", "type": "terminal"},
    ],
}


async def test_a_session_goes_on_by_itself_after_a_report_that_was_refused_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus(1)
    append = bus.events.append
    refused: list[bytes] = []
    ended = asyncio.Event()

    async def choosy(session: str, events: Sequence[bytes], expected: int) -> int:
        if expected and not refused:
            refused.append(events[0])
            raise Refused("not today")
        seq = await append(session, events, expected)
        if isinstance(ev.decode(events[-1]), ev.SessionCompleted):
            ended.set()
        return seq

    monkeypatch.setattr(bus.events, "append", choosy)
    engine = Engine(bus, stages={**get_stages(), **STAGES})
    await engine.start()
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": ONE_STAGE}))
    async with asyncio.timeout(10):
        await ended.wait()
    await engine.stop()
    assert isinstance(ev.decode(refused[0]), ev.StageCompleted)
