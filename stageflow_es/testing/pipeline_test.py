"""Declarative tests of a pipeline, as StageFlow has them: what goes in, and what has to come out.

result, events = await run_pipeline_test(PipelineTestSpec(
    pipeline={...},
    inputs=[{"type": "approval", "payload": {"approved": True}}],
    expected_result={"status": "shipped"},
))

It runs in the caller's event loop, and so in the caller's time: in virtual time (`virtual_time`) no delay costs any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stageflow_es.engine.durable_calls import number_of_seconds
from stageflow_es.engine.local import Session, SessionResult
from stageflow_es.pipeline import Pipeline as CompiledPipeline
from stageflow_es.session import events as ev
from stageflow_es.session.state import scope_path
from stageflow_es.stageflow import Pipeline
from stageflow_es.stages import Context, Event

PATIENCE = 1.0
"""Seconds an input waits for somebody to wait for it; then it is sent all the same."""

SHOWN = (
    ev.StageEvent,
    ev.StageSkipped,
    ev.SkipDenied,
    ev.StageTimeout,
    ev.StageFailed,
    ev.ConditionEvaluated,
    ev.ParallelCompleted,
    ev.SubpipelineCompleted,
    ev.SessionTerminated,
)
"""The events that name a node in StageFlow, and so make up `expected_history`."""


@dataclass
class PipelineTestSpec:
    """`pipeline` with `payload` in its context is run and given `inputs`, one after the other: `{"type", "payload"}`,
    `delay` seconds after the one before, and once somebody waits for the type unless `wait_for_listener` is false.

    What is given of the rest must hold: `expected_result`, these `expected_artifacts`, and `expected_history`, the
    node ids of the events that StageFlow puts one on.
    """

    pipeline: dict[str, Any] | Pipeline | CompiledPipeline
    inputs: Sequence[Mapping[str, Any]] = ()
    payload: dict[str, Any] | None = None
    expected_result: dict[str, Any] | None = None
    expected_artifacts: dict[str, Any] | None = None
    expected_history: list[str] | None = None


async def run_pipeline_test(spec: PipelineTestSpec) -> tuple[SessionResult, list[Event]]:
    """Run a test; returns how the session ended and all its events. Raises AssertionError when it ended otherwise than
    expected, SessionFailed when it failed, CommandRejected when it refused an input."""
    given = spec.pipeline
    pipeline = Pipeline.from_dict(given) if isinstance(given, dict) else given
    feeder = _Feeder(spec.inputs)
    session = Session("test", pipeline, Context(payload=spec.payload), feeder.saw)
    running, feeding = asyncio.create_task(session.run()), asyncio.create_task(feeder.feed(session))
    try:
        await asyncio.gather(running, feeding)
    finally:
        running.cancel()
        feeding.cancel()
    result = running.result()
    _compare(spec, result, session, pipeline)
    return result, feeder.events


class _Feeder:
    """Gives the inputs to the session as it comes to want them, and collects its events."""

    def __init__(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        if not (isinstance(inputs, Sequence) and all(isinstance(item, Mapping) and "type" in item for item in inputs)):
            raise TypeError("the inputs of a test are a list of objects, each with a `type` and mostly a `payload`")
        self.events: list[Event] = []
        self._inputs = inputs
        self._moved = asyncio.Event()

    def saw(self, event: Event) -> None:
        self.events.append(event)
        self._moved.set()

    async def feed(self, session: Session) -> None:
        for item in self._inputs:
            await asyncio.sleep(number_of_seconds(item.get("delay", 0), "the delay of an input"))
            if item.get("wait_for_listener", True):
                await self._until_wanted(session, item["type"])
            if session.outcome:
                return
            await session.input(item["type"], item.get("payload", {}))

    async def _until_wanted(self, session: Session, type_: str) -> None:
        """Until somebody waits for the type (a command: until the session rests), it has ended, or patience did."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (session.outcome or _wanted(session, type_)):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return


def _wanted(session: Session, type_: str) -> bool:
    return session.status in ("waiting", "paused") if type_ == "command" else type_ in session.waiting_for


def _compare(
    spec: PipelineTestSpec, result: SessionResult, session: Session, pipeline: Pipeline | CompiledPipeline
) -> None:
    if spec.expected_result is not None and result.result != spec.expected_result:
        raise AssertionError(f"expected the result {spec.expected_result!r}, got {result.result!r}")
    for name, expected in (spec.expected_artifacts or {}).items():
        actual = result.artifacts.get(name)
        if actual != expected:
            raise AssertionError(f"expected artifact {name!r} to be {expected!r}, got {actual!r}")
    if spec.expected_history is not None:
        seen = _nodes(session.events, pipeline.compiled if isinstance(pipeline, Pipeline) else pipeline)
        if seen != spec.expected_history:
            raise AssertionError(f"expected the history {spec.expected_history!r}, got {seen!r}")


def _nodes(history: Sequence[bytes], pipeline: CompiledPipeline) -> list[str]:
    """The node ids of the events StageFlow puts one on. A subpipeline's terminal is among them: it is where the last
    move inside it went."""
    seen: list[str] = []
    went: dict[str, str | None] = {}
    pipelines = {"": pipeline}
    for data in history:
        event = ev.decode(data)
        if not isinstance(event, ev.NodeEvent):
            continue
        if isinstance(event, ev.SubpipelineStarted):
            inside = scope_path(event.scope, event.node)
            child = _around(pipelines, event.scope).subpipelines[event.subpipeline_id]
            pipelines[inside], went[inside] = child, child.entry
        elif isinstance(event, ev.SubpipelineCompleted):
            terminal = went.pop(scope_path(event.scope, event.node), None)
            seen += [terminal] if terminal is not None and event.error is None else []
        if isinstance(event, SHOWN):
            seen.append(event.node)
        went[event.scope] = getattr(event, "next", None)
    return seen


def _around(pipelines: dict[str, CompiledPipeline], scope: str) -> CompiledPipeline:
    """The pipeline a scope runs: that of the innermost subpipeline it is in."""
    return pipelines[max((path for path in pipelines if not path or f"{scope}/".startswith(f"{path}/")), key=len)]
