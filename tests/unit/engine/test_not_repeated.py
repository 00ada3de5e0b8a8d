"""Stages whose code was changed while a run of theirs waited, so that its repetition does something else."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline
from tests.faults.test_lapsed import until_recorded


class Changed(BaseStage):
    """Does what its release does."""

    stage_name = "Changed"
    release: ClassVar[Callable[[BaseStage], Awaitable[None]]]

    async def run(self) -> None:
        await type(self).release(self)


async def counted() -> int:
    return 1


async def as_it_was(stage: BaseStage) -> None:
    await stage.step("count", counted)
    stage.emit("asked", {})
    stage.emit("asked", {})
    await stage.wait_input("go")


async def without_the_wait(stage: BaseStage) -> None:
    await stage.step("count", counted)
    stage.emit("asked", {})
    stage.emit("asked", {})


async def with_one_event_less(stage: BaseStage) -> None:
    await stage.step("count", counted)
    stage.emit("asked", {})
    await stage.wait_input("go")


async def without_the_step(stage: BaseStage) -> None:
    stage.emit("asked", {})
    stage.emit("asked", {})
    await stage.wait_input("go")


async def repeated_as(release: Callable[[BaseStage], Awaitable[None]]) -> ev.AnyEvent:
    """The last event of a session whose stage waited when its engine died, and was of another release afterwards."""
    bus = MemoryBus(1)
    Changed.release = as_it_was
    first = Engine(bus, name="one", stages={"Changed": Changed})
    await first.start()
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": pipeline("Changed")}))
    await until_recorded(bus, ev.WaitingForInput)
    await first.stop()
    Changed.release = release
    second = Engine(bus, name="two", stages={"Changed": Changed})
    await second.start()
    await bus.publish("input", "s", b'{"type": "go"}')
    async with asyncio.timeout(10):
        while True:
            last = ev.decode((await bus.events.read("s"))[-1].data)
            if isinstance(last, ev.SessionCompleted | ev.SessionFailed):
                break
            await asyncio.sleep(0.005)
    await second.stop()
    return last


@pytest.mark.parametrize(("release", "call"), [(without_the_wait, "wait:go:0"), (with_one_event_less, "emit:asked:1")])
async def test_a_repeated_run_that_leaves_out_a_recorded_call_fails_and_says_which(
    release: Callable[[BaseStage], Awaitable[None]], call: str
) -> None:
    last = await repeated_as(release)
    assert isinstance(last, ev.SessionFailed)
    assert last.error.type == "StageMismatch"
    assert (
        last.error.message == f"the repeated run did not make the recorded call '{call}': a stage must repeat its calls"
    )


async def test_a_repeated_run_may_leave_out_a_recorded_step() -> None:
    assert isinstance(await repeated_as(without_the_step), ev.SessionCompleted)
