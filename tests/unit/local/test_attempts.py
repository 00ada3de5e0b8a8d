"""A retry is another attempt of the same stage object, as in StageFlow."""

from __future__ import annotations

import asyncio
import traceback
from contextlib import suppress
from typing import ClassVar

import pytest
from structlog.testing import capture_logs

from stageflow_es import BaseStage, Pipeline, Session, SessionFailed, register_stage
from stageflow_es.engine.stopwatch import PATIENCE
from stageflow_es.testing import in_virtual_time

from .stages import end, pipeline, stage


@register_stage("CountsOnItself")
class CountsOnItself(BaseStage):
    retries = 2

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.tries = 0

    async def run(self) -> None:
        self.tries += 1
        if self.tries < 3:
            raise RuntimeError("not yet")
        self.set_outputs({"tries": [self.tries, self.attempt]})


@register_stage("GoesOnPastItsTimeout")
class GoesOnPastItsTimeout(BaseStage):
    """Takes no cancelling for an answer at its first attempt; `late`: what came of the calls it made all the same."""

    timeout = 10
    retries = 1
    late: ClassVar[list[str]] = []

    async def run(self) -> None:
        if self.attempt == 2:
            self.set_outputs({"value": 2})
            return await self.sleep(3600)
        for _ in range(40):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(1)
        try:
            self.set_outputs({"value": 1})
            self.emit("late")
        except asyncio.CancelledError:
            self.late.append("cancelled")


@register_stage("ClearsUpAfterItsTimeout")
class ClearsUpAfterItsTimeout(BaseStage):
    timeout = 10

    async def run(self) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(PATIENCE - 1)
            self.emit("cleared")


@in_virtual_time
async def test_a_stage_that_does_not_end_at_its_timeout_is_left_behind_and_what_it_does_then_does_not_count() -> None:
    GoesOnPastItsTimeout.late.clear()
    session = Session("s", pipeline(stage("a", "GoesOnPastItsTimeout", outputs={"value": "v"}), end("v")))
    result = await session.run()
    times = {event.type: event.timestamp for event in result.history}
    assert (times["stage_timeout"] - times["session_started"]).total_seconds() == 10 + PATIENCE
    assert result.artifacts == {"v": 2}
    assert "late" not in times
    assert GoesOnPastItsTimeout.late == ["cancelled"]


@register_stage("RecordsWhileItClearsUp")
class RecordsWhileItClearsUp(BaseStage):
    timeout = 1

    async def run(self) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await self.step("undo", int)
            await asyncio.sleep(PATIENCE - 1)
            self.emit("cleared")


@register_stage("RecordsNothing")
class RecordsNothing(BaseStage):
    timeout = 10

    async def run(self) -> None:
        await asyncio.sleep(1)


@register_stage("RecordsNowAndThen")
class RecordsNowAndThen(BaseStage):
    timeout = 10

    async def run(self) -> None:
        for number in range(9):
            await asyncio.sleep(4)
            await self.step(f"step {number}", int)


@in_virtual_time
@pytest.mark.parametrize("name", ["ClearsUpAfterItsTimeout", "RecordsWhileItClearsUp"])
async def test_a_stage_may_clear_up_after_its_timeout(name: str) -> None:
    session = Session("s", pipeline(stage("a", name, fallback="end"), end()))
    history = [event.type for event in (await session.run()).history]
    assert history.index("cleared") < history.index("stage_timeout")


@in_virtual_time
@pytest.mark.parametrize("name", ["ClearsUpAfterItsTimeout", "RecordsNothing"])
async def test_a_stage_that_has_ended_is_not_said_later_to_go_on(name: str) -> None:
    with capture_logs() as logs:
        await Session("s", pipeline(stage("a", name, fallback="end"), end())).run()
        await asyncio.sleep(60)
    assert "stage_does_not_end" not in [line["event"] for line in logs]


@in_virtual_time
async def test_a_timeout_bounds_all_the_time_a_stage_runs_whatever_it_records_meanwhile() -> None:
    session = Session("s", pipeline(stage("a", "RecordsNowAndThen", fallback="end"), end()))
    times = {event.type: event.timestamp for event in (await session.run()).history}
    assert (times["stage_timeout"] - times["session_started"]).total_seconds() == pytest.approx(10, abs=0.1)


async def test_what_an_attempt_leaves_on_the_stage_the_next_one_finds() -> None:
    counts = {"id": "a", "type": "stage", "stage": "CountsOnItself", "outputs": {"tries": "tries"}, "next": "end"}
    nodes = [counts, {"id": "end", "type": "terminal", "artifacts": ["tries"]}]
    result = await Session(id="s", pipeline=Pipeline.from_dict({"entry": "a", "nodes": nodes})).run()
    assert result.artifacts == {"tries": [3, 3]}


async def test_what_the_last_attempt_raised_is_the_cause_of_the_sessions_failure() -> None:
    session = Session("s", pipeline(stage("a", "LocalWritesThenFails"), end()))
    with pytest.raises(SessionFailed, match="RuntimeError: after the write") as failed:
        await session.run()
    cause = failed.value.__cause__
    assert isinstance(cause, RuntimeError)
    assert [entry.name for entry in traceback.extract_tb(cause.__traceback__)][-1] == "run"


async def test_a_failure_that_no_stage_raised_has_no_cause() -> None:
    nodes = [
        stage("a", "LocalFlaky", "c"),
        {"id": "c", "type": "condition", "conditions": [{"if": False, "then": "c"}]},
    ]
    with pytest.raises(SessionFailed) as failed:
        await Session("s", pipeline(*nodes)).run()
    assert failed.value.__cause__ is None


async def test_a_new_visit_of_the_node_gets_a_new_stage() -> None:
    stage = {"id": "a", "type": "stage", "stage": "CountsOnItself", "outputs": {"tries": "tries"}, "next": "again"}
    count = {
        "id": "again",
        "type": "stage",
        "stage": "IncrementStage",
        "arguments": {"current": "n"},
        "outputs": {"value": "n"},
        "next": "c",
    }
    loop = {
        "id": "c",
        "type": "condition",
        "conditions": [{"if": {"<": [{"var": "n"}, 2]}, "then": "a"}],
        "else": "end",
    }
    nodes = [stage, count, loop, {"id": "end", "type": "terminal", "artifacts": ["tries"]}]
    result = await Session(id="s", pipeline=Pipeline.from_dict({"entry": "a", "nodes": nodes})).run()
    assert result.artifacts == {"tries": [3, 3]}
