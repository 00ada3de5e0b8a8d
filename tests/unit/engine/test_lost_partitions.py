"""Partitions that an engine loses while it lives: what it leaves of them on the bus, and what it lets go of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Checkpoint, Unanswered
from stageflow_es.errors import OperatorError
from stageflow_es.stages import BaseStage

PIPELINE = {
    "entry": "work",
    "nodes": [{"id": "work", "type": "stage", "stage": "Work", "next": "end"}, {"id": "end", "type": "terminal"}],
}
START = msgspec.json.encode({"pipeline": PIPELINE})


class Work(BaseStage):
    """Runs until it is cancelled."""

    running: ClassVar[set[str]]

    async def run(self) -> None:
        self.running.add(self.session.id)
        try:
            await asyncio.Event().wait()
        finally:
            self.running.remove(self.session.id)


@pytest.fixture
def bus() -> MemoryBus:
    Work.running = set()
    return MemoryBus(1, lease_ttl=60.0)


def engine(bus: MemoryBus) -> Engine:
    return Engine(bus, name="engine", stages={"Work": Work}, settings=EngineSettings(checkpoint_every=0.02))


async def listed(bus: MemoryBus) -> set[str]:
    _, checkpoint = await bus.checkpoints.read(0)
    return set() if checkpoint is None else set(checkpoint.sessions)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.005)


async def test_an_engine_that_ends_just_after_it_lost_a_partition_in_doubt_leaves_its_sessions_on_the_list(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = engine(bus)
    await one.start()
    await bus.publish("start", "runs", START)

    async def is_listed() -> bool:
        return await listed(bus) == {"runs"}

    async def nothing_runs() -> bool:
        return not Work.running

    async def unanswered(partition: int, revision: int, checkpoint: Checkpoint) -> int:
        raise Unanswered("nobody answers")

    await until(is_listed)
    with monkeypatch.context() as away:
        away.setattr(bus.checkpoints, "write", unanswered)
        await bus.publish("start", "second", START)
        await until(nothing_runs)
    await one.stop()
    assert "runs" in await listed(bus)


async def test_a_partition_that_is_lost_leaves_no_reader_open(bus: MemoryBus, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    closed: list[Any] = []

    def noting(open_reader: Callable[[int, int], Awaitable[Any]]) -> Callable[[int, int], Awaitable[Any]]:
        async def open_and_note(partition: int, after: int) -> Any:
            reader = await open_reader(partition, after)
            opened.append(reader)

            async def close() -> None:
                closed.append(reader)

            monkeypatch.setattr(reader, "close", close)
            return reader

        return open_and_note

    monkeypatch.setattr(bus.commands, "open", noting(bus.commands.open))
    monkeypatch.setattr(bus.timers, "open", noting(bus.timers.open))
    one = engine(bus)
    await one.start()
    assert (len(opened), closed) == (2, [])
    revision, checkpoint = await bus.checkpoints.read(0)
    assert checkpoint is not None
    await bus.checkpoints.write(0, revision, checkpoint)  # as another engine would

    async def taken_anew() -> bool:
        return len(opened) == 4

    await until(taken_anew)
    assert closed == opened[:2]
    await one.stop()
    assert closed == opened


@pytest.mark.parametrize("which", ["commands_created", "timers_created"])
async def test_a_partition_whose_checkpoint_is_of_other_logs_is_not_worked_on_and_the_operator_is_told_what_to_do(
    bus: MemoryBus, which: str
) -> None:
    created = {"commands_created": "memory", "timers_created": "memory", which: "earlier"}
    await bus.checkpoints.write(0, 0, Checkpoint(**created, commands=7, fires=7))
    await bus.publish("start", "s", START)
    one = engine(bus)
    with pytest.raises(OperatorError, match=r"partition 0: .* deleted and made again; restore them from a backup"):
        await one.start()
    await one.stop()
    _, checkpoint = await bus.checkpoints.read(0)
    assert checkpoint == Checkpoint(**created, commands=7, fires=7)
