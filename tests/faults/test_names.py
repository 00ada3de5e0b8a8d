"""Two engines that live under one name, and more engines than there is work for."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.errors import OperatorError
from stageflow_es.session import events as ev
from tests.faults.test_lapsed import STAGES, START, until_recorded


async def test_an_engine_whose_name_was_given_to_another_ends_and_says_what_to_do() -> None:
    bus = MemoryBus(2, lease_ttl=1)
    earlier, later = Engine(bus, name="one", stages=STAGES), Engine(bus, name="one", stages=STAGES)
    await earlier.start()
    await later.start()
    async with asyncio.timeout(10):
        with pytest.raises(OperatorError, match=r"under the name one .* give each engine a name of its own"):
            await earlier.wait()
    await earlier.stop()
    assert list(await bus.leases.members()) == ["one"]
    await bus.publish("start", "s", START)
    await until_recorded(bus, ev.SessionCompleted)
    await later.stop()


async def test_an_engine_there_is_no_partition_for_starts_and_waits_for_one() -> None:
    bus = MemoryBus(1, lease_ttl=1)
    first, second = Engine(bus, name="one", stages=STAGES), Engine(bus, name="two", stages=STAGES)
    async with asyncio.timeout(10):
        await first.start()
        await second.start()
        await first.stop()
        await bus.publish("start", "s", START)
        await until_recorded(bus, ev.SessionCompleted)
    await second.stop()
