"""Stages, conditions and subpipelines, as given events, when a command, then events."""

from typing import Any

import pytest

from stageflow_es.testing.scenario import Scenario, completed, event, failed, start

from .nodes import END, pipeline, stage, terminal


def test_a_stage_writes_its_outputs_and_a_terminal_returns_result_and_artifacts() -> None:
    s = Scenario(pipeline(stage("a", "end"), terminal(result={"ok": 1}, artifacts=["x.y", "gone"])))
    s.when(start(x={})).then(event("session_started", entry="a", payload={"x": {}}))
    s.when(completed(writes={"x.y": [1]})).then(
        event("stage_completed", node="a", writes={"x.y": [1]}, next="end"),
        event("session_terminated", node="end"),
        event("session_completed", result={"ok": 1}, artifacts={"x.y": [1], "gone": None}),
    )
    assert s.state.status == "completed"


def test_arguments_are_what_they_were_when_the_cursor_came() -> None:
    s = Scenario(
        pipeline(
            {"id": "p", "type": "parallel", "children": ["a", "b"], "next": "end"},
            stage("a", arguments={"v": "list"}),
            stage("b"),
            terminal(),
        )
    )
    s.when(start(list=[1], other={"k": 1}))
    s.when(completed("p/b", writes={"list.1": 2}))
    assert s.state.runs["p/a"].arguments == {"v": [1]}
    assert s.context()["list"] == [1, 2]


def test_a_missing_argument_is_null_and_known_to_be_missing() -> None:
    s = Scenario(pipeline(stage("a", "end", arguments={"v": "no.where", "w": "there"}), terminal()))
    s.when(start(there=None))
    run = s.state.runs[""]
    assert (run.arguments, run.missing) == ({"v": None, "w": None}, ["v"])


def test_outputs_that_cannot_all_be_written_fail_the_stage_and_write_none() -> None:
    s = Scenario(pipeline(stage("a", "end"), terminal()))
    s.when(start(scalar=1)).when(completed(writes={"fine": 1, "scalar.deep": 2}))
    s.then(event("stage_failed", node="a", retry=False), "session_failed")
    assert s.context() == {"scalar": 1}


def test_a_failed_stage_goes_to_its_fallback_which_can_read_the_error() -> None:
    s = Scenario(
        pipeline(
            stage("a", "end", fallback="b"),
            stage("b", "end", arguments={"why": "$error.message"}),
            terminal(),
        )
    )
    s.when(start()).when(failed(message="no luck")).then(event("stage_failed", next="b"))
    assert s.state.runs[""].arguments == {"why": "no luck"}


def test_a_condition_as_a_fallback_can_ask_what_went_wrong() -> None:
    rule = {"==": [{"var": "$error.type"}, "RuntimeError"]}
    why = {"id": "c", "type": "condition", "conditions": [{"if": rule, "then": "end"}], "else": "other"}
    s = Scenario(pipeline(stage("a", "end", fallback="c"), why, terminal(), terminal("other")))
    s.when(start()).when(failed()).then("stage_failed", event("condition_evaluated", next="end"), *END)


def test_retries_come_before_the_fallback() -> None:
    s = Scenario(pipeline(stage("a", "end", fallback="end"), terminal()))
    s.when(start())
    s.when(failed(retries=1)).then(event("stage_failed", attempt=1, retry=True, next=None))
    s.when(failed(retries=1)).then(event("stage_failed", attempt=2, retry=False, next="end"), *END)


def test_a_failure_without_fallback_fails_the_session() -> None:
    s = Scenario(pipeline(stage("a", "end"), terminal()))
    s.when(start()).when(failed(message="boom"))
    s.then(
        "stage_failed",
        event("session_failed", error={"type": "RuntimeError", "message": "boom", "node": "a", "attempt": 1}),
    )
    assert s.state.status == "failed"


def test_a_root_without_next_fails_and_says_so() -> None:
    s = Scenario(pipeline(stage("a"), terminal()))
    s.when(start()).when(completed()).then("stage_completed", "session_failed")
    assert s.state.error is not None
    assert s.state.error.type == "NoNextNode"


@pytest.mark.parametrize(("n", "target", "branch"), [(1, "one", 0), (2, "two", 1), (3, "other", None)])
def test_a_condition_takes_its_first_truthy_branch_else_else(n: int, target: str, branch: int | None) -> None:
    s = Scenario(
        pipeline(
            {
                "id": "c",
                "type": "condition",
                "conditions": [
                    {"if": {"==": [{"var": "n"}, 1]}, "then": "one"},
                    {"if": {"<": [{"var": "payload.n"}, 3]}, "then": "two"},
                ],
                "else": "other",
            },
            terminal("one"),
            terminal("two"),
            terminal("other"),
        )
    )
    s.when(start(n=n)).then("session_started", event("condition_evaluated", next=target, branch=branch), *END)


def test_a_condition_without_a_truthy_branch_or_else_fails() -> None:
    s = Scenario(
        pipeline({"id": "c", "type": "condition", "conditions": [{"if": {"var": "x"}, "then": "end"}]}, terminal())
    )
    s.when(start()).then("session_started", "condition_evaluated", "session_failed")
    assert s.state.error is not None
    assert s.state.error.type == "NoBranch"


def child(**fields: Any) -> dict[str, Any]:
    node = {
        "id": "n",
        "type": "subpipeline",
        "subpipeline_id": "sub",
        "inputs": {"x": "a.b"},
        "next": "end",
        **fields,
    }
    sub = pipeline(stage("c", "t", arguments={"v": "x"}), terminal("t", result={"r": 1}, artifacts=["y"]))
    return pipeline(node, terminal(), subpipelines={"sub": sub})


def test_a_subpipeline_has_its_own_context_and_returns_artifacts_and_result() -> None:
    s = Scenario(child(artifact_outputs={"out.y": "y"}, result_output="res"))
    s.when(start(a={"b": 5})).then("session_started", event("subpipeline_started", node="n"))
    assert s.state.runs["n"].arguments == {"v": 5}
    s.when(completed("n", writes={"y": 6})).then(
        "stage_completed",
        event("subpipeline_completed", scope="", node="n", artifacts={"y": 6}, next="end"),
        *END,
    )
    assert s.context() == {"a": {"b": 5}, "out": {"y": 6}, "res": {"r": 1}}


def test_a_subpipeline_without_the_artifact_it_should_return_fails() -> None:
    s = Scenario(child(artifact_outputs={"out": "other"}))
    s.when(start()).when(completed("n")).then("stage_completed", "subpipeline_completed", "session_failed")
    assert s.state.error is not None
    assert s.state.error.type == "MissingArtifact"


def test_a_loop_runs_as_often_as_its_condition_says_and_a_runaway_is_stopped() -> None:
    loop = [
        {
            "id": "c",
            "type": "condition",
            "conditions": [{"if": {"<": [{"var": "i"}, 3]}, "then": "a"}],
            "else": "end",
        },
        stage("a", "c"),
        terminal(),
    ]
    s = Scenario(pipeline(*loop)).when(start(i=0))
    for i in range(3):
        s.when(completed(writes={"i": i + 1}))
    assert s.state.status == "completed"
    endless = pipeline(*[{**loop[0], "conditions": [{"if": True, "then": "c"}]}, *loop[1:]], max_transitions=50)
    s = Scenario(endless).when(start())
    assert s.state.error is not None
    assert s.state.error.type == "TransitionLimit"
    assert s.state.n < 60
