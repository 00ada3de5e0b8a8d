"""`self.session` in a stage does what StageFlow's stages do with it, durably; what is no JSON fails the stage."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from stageflow_es import BaseStage, CommandRejected, Context, Event, Session, SessionFailed, register_stage

from .stages import end, pipeline, stage, until_waiting


@register_stage("SessionEmits")
class SessionEmits(BaseStage):
    async def run(self) -> None:
        self.session.emit(Event(type="through", session_id=self.session.id, stage_id=self.stage_id, payload={"n": 1}))


@register_stage("SessionAsks")
class SessionAsks(BaseStage):
    async def run(self) -> None:
        first = await self.session.wait_input("go")
        self.set_outputs({"answer": [first, await self.session.wait_input("late", timeout=0)]})


@register_stage("SessionSeesPipeline")
class SessionSeesPipeline(BaseStage):
    async def run(self) -> None:
        pipeline = self.session.pipeline
        pipeline.metadata["mine"] = True
        self.set_outputs({"seen": [pipeline.entry, pipeline.metadata, [node.id for node in pipeline.nodes]]})


@register_stage("SessionKept")
class SessionKept(BaseStage):
    """Keeps its session for longer than it runs."""

    kept: ClassVar[list[Any]] = []

    async def run(self) -> None:
        self.kept.append(self.session)


VALUES: dict[str, Any] = {
    "nan": math.nan,
    "infinity": -math.inf,
    "deep": {"a": [None, {"b": (1.5, math.inf)}]},
    "object": object(),
    "surrogate": "\ud800",
    "tuple": (1, [2, None]),
    "set": {1},
    "time": datetime(2026, 1, 2, tzinfo=UTC),
    "keys": {1: None, 2: "b"},
}


@register_stage("GivesAnything")
class GivesAnything(BaseStage):
    async def run(self) -> None:
        value = VALUES[self.config["value"]]
        match self.config["through"]:
            case "outputs":
                self.set_outputs({"value": value})
            case "emit":
                self.emit("said", {"value": value})
            case "step":
                await self.step("get", lambda: value)
            case "context":
                self.session.context.set("value", value)


async def test_a_stage_emits_through_its_session() -> None:
    result = await Session("s", pipeline(stage("e", "SessionEmits"), end())).run()
    said = [event for event in result.history if event.type == "through"]
    assert [(event.stage_id, event.payload) for event in said] == [("e", {"n": 1})]


@register_stage("EmitsConfig")
class EmitsConfig(BaseStage):
    async def run(self) -> None:
        self.emit("said", self.config["payload"])


@pytest.mark.parametrize("payload", [5, 0, "x", "", [1], [], True, {"a": 1}])
async def test_what_a_stage_emits_may_be_any_json(payload: Any) -> None:
    emitting = pipeline(stage("e", "EmitsConfig", config={"payload": payload}), end())
    result = await Session("s", emitting).run()
    assert [event.payload for event in result.history if event.type == "said"] == [payload]


async def test_a_stage_waits_through_its_session() -> None:
    session = Session("s", pipeline(stage("ask", "SessionAsks", outputs={"answer": "a"}), end("a")))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.input("go", 7)
    assert (await running).artifacts == {"a": [{"type": "go", "payload": 7}, None]}


async def test_a_stage_sees_a_copy_of_the_pipeline_it_is_in() -> None:
    inner = {
        "entry": "look",
        "metadata": {"of": "inner"},
        "nodes": [stage("look", "SessionSeesPipeline", outputs={"seen": "seen"}), end("seen")],
    }
    node = {"id": "s", "type": "subpipeline", "subpipeline_id": "in", "artifact_outputs": {"seen": "seen"}}
    outer = pipeline({**node, "next": "end"}, end("seen"), subpipelines={"in": inner})
    seen = (await Session("s", outer).run()).artifacts["seen"]
    assert seen == ["look", {"of": "inner", "mine": True}, ["look", "end"]]
    assert outer.raw_json["subpipelines"]["in"]["metadata"] == {"of": "inner"}


async def test_nothing_can_be_done_through_the_session_of_a_run_that_is_over() -> None:
    await Session("s", pipeline(stage("k", "SessionKept"), end())).run()
    kept = SessionKept.kept.pop()
    with pytest.raises(asyncio.CancelledError):
        kept.emit(Event(type="late", session_id="s"))
    with pytest.raises(asyncio.CancelledError):
        await kept.wait_input("go")


@pytest.mark.parametrize("through", ["outputs", "emit", "step", "context"])
@pytest.mark.parametrize("value", ["nan", "infinity", "deep", "object", "surrogate"])
async def test_a_value_that_json_cannot_carry_fails_the_stage_and_says_so(value: str, through: str) -> None:
    node = stage("g", "GivesAnything", config={"value": value, "through": through}, outputs={"value": "v"})
    with pytest.raises(SessionFailed, match="is not JSON") as failure:
        await Session("s", pipeline(node, end())).run()
    assert failure.value.error is not None
    assert (failure.value.error.type, failure.value.error.node) == ("StageError", "g")


@pytest.mark.parametrize(
    ("value", "carried"),
    [
        ("tuple", [1, [2, None]]),
        ("set", [1]),
        ("time", "2026-01-02T00:00:00Z"),
        ("keys", {"1": None, "2": "b"}),
    ],
)
async def test_what_json_has_a_word_for_is_carried_as_that(value: str, carried: Any) -> None:
    node = stage("g", "GivesAnything", config={"value": value, "through": "outputs"}, outputs={"value": "v"})
    assert (await Session("s", pipeline(node, end("v"))).run()).artifacts == {"v": carried}


async def test_a_context_or_an_input_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(CommandRejected, match="JSON has no number nan"):
        await Session("s", pipeline(end()), Context(payload={"a": math.nan})).run()
    with pytest.raises(CommandRejected, match="JSON has no number inf"):
        await Session("s", pipeline(end())).input("go", [math.inf])
