"""Pipelines written in Python with StageFlow's node objects, and the declarative pipeline tests."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es import (
    Condition,
    ConditionNode,
    Context,
    DefinitionError,
    JsonLogic,
    MapNode,
    Node,
    ParallelNode,
    Pipeline,
    Session,
    StageNode,
    SubPipelineNode,
    TerminalNode,
)
from stageflow_es.testing import PipelineTestSpec, run_pipeline_test

from .stages import asking, end, pipeline, stage

END = TerminalNode(id="end", type="terminal", result={"status": "ok"}, artifact_paths=["n", "r", "c"])


def written() -> Pipeline:
    rule = JsonLogic({"==": [{"var": "n"}, 1]})
    inc: dict[str, Any] = {"type": "stage", "stage": "IncrementStage", "outputs": {"value": "n"}}
    child = {"entry": "end", "nodes": [{"id": "end", "type": "terminal", "result": {"from": "child"}}]}
    nodes = [
        ParallelNode(id="p", type="parallel", children=["i"], next="if"),
        StageNode(id="i", arguments={"current": "n"}, next=None, **inc),
        ConditionNode(id="if", type="condition", conditions=[Condition(rule, then_goto="m")], else_goto="end"),
        MapNode(id="m", type="map", items="l", body="b", output_map={"n": "r"}, next="c"),
        StageNode(id="b", arguments={"current": "item"}, config=None, **inc),  # type: ignore[arg-type]
        SubPipelineNode(id="c", type="subpipeline", subpipeline_id="child", result_output="c", next="end"),
        END,
    ]
    return Pipeline(entry="p", nodes=nodes, subpipelines={"child": child})


async def test_a_pipeline_of_node_objects_runs() -> None:
    session = Session("s", written(), Context({"l": [1, 2]}))
    assert written().validate() is True
    assert (await session.run()).artifacts == {"n": 1, "r": [2, 3], "c": {"from": "child"}}


def test_node_objects_and_their_definition_are_the_same() -> None:
    again = Pipeline.from_dict(written().raw_json)
    assert [node.to_dict() for node in again.nodes] == [node.to_dict() for node in written().nodes]
    assert again.digest == written().digest
    assert again.get_entry_node().id == "p"
    assert again.get_node("end") == END


def test_what_is_wrong_with_a_written_pipeline_is_told_by_validate_and_by_a_session() -> None:
    wrong = Pipeline(entry="nowhere", nodes=[END])
    for check in (wrong.validate, lambda: Session("s", wrong)):
        with pytest.raises(DefinitionError, match="nowhere"):
            check()
    with pytest.raises(ValueError, match="elsewhere"):
        wrong.get_node("elsewhere")


def test_an_unknown_stage_is_a_value_error_when_it_is_named() -> None:
    with pytest.raises(ValueError, match="NoSuchStage"):
        StageNode(id="s", type="stage", stage="NoSuchStage")
    with pytest.raises(ValueError, match="NoSuchStage"):
        Pipeline.from_dict({"entry": "s", "nodes": [stage("s", "NoSuchStage", None)]})
    with pytest.raises(ValueError, match="unknown node type"):
        Node.from_dict({"id": "x", "type": "loop"})
    with pytest.raises(ValueError, match="no terminal node"):
        Node.from_dict({"id": "x", "type": "terminal", "next": "y"})


def test_a_rule_gives_its_value_over_a_context() -> None:
    context = Context({"a": {"b": 2}, "x": 5})
    assert JsonLogic({"var": "a.b"}).evaluate(context) == JsonLogic({"var": "payload.a.b"}).evaluate(context) == 2
    assert JsonLogic({"var": "none"}).evaluate(context) is None
    assert JsonLogic({"and": [{"==": [{"var": "x"}, 5]}, {">": [{"var": "x"}, 3]}]}).evaluate(context)
    with pytest.raises(ValueError, match="nope"):
        JsonLogic({"nope": 1}).evaluate(context)


# --- declarative tests ---


async def test_a_pipeline_test_feeds_inputs_and_compares_what_came_of_them() -> None:
    result, events = await run_pipeline_test(
        PipelineTestSpec(
            pipeline=asking().raw_json,
            inputs=[{"type": "go", "payload": {"v": 5}, "delay": 0.001}],
            expected_result={"status": "ok"},
            expected_artifacts={"a": {"v": 5}},
            expected_history=["end"],
        )
    )
    assert result.artifacts == {"a": {"v": 5}}
    assert [event.type for event in events][:3] == ["session_started", "waiting_for_input", "user_input"]


@pytest.mark.parametrize(
    "expected",
    [{"expected_result": {}}, {"expected_artifacts": {"a": 1}}, {"expected_history": ["ask", "end"]}],
)
async def test_a_pipeline_test_that_came_out_otherwise_is_an_assertion_error(expected: dict[str, Any]) -> None:
    spec = PipelineTestSpec(pipeline=asking(), inputs=[{"type": "go", "wait_for_listener": False}], **expected)
    with pytest.raises(AssertionError, match="expected"):
        await run_pipeline_test(spec)


async def test_the_history_of_a_pipeline_test_names_the_nodes_stageflow_named() -> None:
    child = {"entry": "log", "nodes": [stage("log", "LogStage", "inner"), {"id": "inner", "type": "terminal"}]}
    nodes = [
        {"id": "p", "type": "parallel", "children": ["bad", "log"], "cancel_on_error": False, "next": "c"},
        stage("bad", "FailStage", None),
        stage("log", "LogStage", None),
        {"id": "c", "type": "subpipeline", "subpipeline_id": "child", "next": "if"},
        {"id": "if", "type": "condition", "conditions": [{"if": True, "then": "quiet"}]},
        stage("quiet", "LocalEcho"),
        end(),
    ]
    spec = PipelineTestSpec(
        pipeline=pipeline(*nodes, subpipelines={"child": child}),
        expected_history=["bad", "log", "p", "log", "inner", "c", "if", "end"],
    )
    await run_pipeline_test(spec)


async def test_a_pipeline_test_steers_a_session_once_it_rests() -> None:
    spec = PipelineTestSpec(pipeline=asking(), inputs=[{"type": "command", "payload": {"name": "stop"}}])
    result, events = await run_pipeline_test(spec)
    assert result.result == {"result": "stopped"}
    assert "waiting_for_input" in [event.type for event in events]


async def test_inputs_left_over_when_the_session_ends_are_not_sent() -> None:
    spec = PipelineTestSpec(pipeline=pipeline(end()), inputs=[{"type": "go"}, {"type": "go"}])
    _, events = await run_pipeline_test(spec)
    assert "user_input" not in [event.type for event in events]
