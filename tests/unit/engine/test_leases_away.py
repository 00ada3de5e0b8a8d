"""A bus whose leases cannot be had for a while."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.engine.engine import SAID_EVERY
from stageflow_es.engine.ports import Unanswered
from stageflow_es.testing import in_virtual_time


@in_virtual_time
async def test_that_leases_cannot_be_had_is_said_once_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus()

    async def silent(name: str) -> NoReturn:
        raise Unanswered("nobody there")

    monkeypatch.setattr(bus.leases, "join", silent)
    engine = Engine(bus, name="one")
    with capture_logs() as logs:
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(4 * SAID_EVERY - 0.1)
        said = [line for line in logs if line["event"] == "leases_unreachable"]
        starting.cancel()
        await engine.stop()
    assert len(said) == 4
