"""The six node types, as given events, when a command, then events."""

from typing import Any

import pytest

from stageflow_es.session.room import MAX_DEPTH, MAX_PATH, MAX_SCOPES
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    event,
    failed,
    nothing,
    start,
)


def stage(id: str, next: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "S", "next": next, **fields}


def terminal(id: str = "end", **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "terminal", **fields}


def pipeline(*nodes: dict[str, Any], entry: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"entry": entry or nodes[0]["id"], "nodes": list(nodes), **fields}


END = ("session_terminated", "session_completed")


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


PARALLEL = {"id": "p", "type": "parallel", "children": ["a", "b"], "next": "end"}


def parallel(**fields: Any) -> Scenario:
    return Scenario(pipeline({**PARALLEL, **fields}, stage("a"), stage("b"), terminal()))


def test_a_parallel_joins_after_all_branches_in_any_order() -> None:
    s = parallel()
    s.when(start()).then("session_started", event("parallel_started", children=["a", "b"]))
    s.when(completed("p/b")).then("stage_completed", event("branch_completed", scope="p/b", branch="b", error=None))
    s.when(completed("p/a")).then(
        "stage_completed", "branch_completed", event("parallel_completed", next="end", failures=[]), *END
    )


def test_under_all_the_first_failure_ends_the_session_and_keeps_the_tree() -> None:
    s = parallel()
    s.when(start()).when(failed("p/a")).then("stage_failed", "session_failed")
    assert set(s.state.scopes) == {"", "p/a", "p/b"}


def test_under_all_without_cancel_the_failures_are_recorded_and_next_runs() -> None:
    s = parallel(cancel_on_error=False)
    s.when(start()).when(failed("p/a")).then("stage_failed", event("branch_completed", branch="a"))
    s.when(completed("p/b"))
    s.then("stage_completed", "branch_completed", "parallel_completed", *END)


def test_under_any_the_first_success_wins_and_cancels_the_rest() -> None:
    s = parallel(policy="any")
    s.when(start()).when(completed("p/b"))
    s.then("stage_completed", "branch_completed", event("parallel_completed", cancelled=["a"], next="end"), *END)


def test_under_any_a_failure_is_no_end_but_all_failures_are() -> None:
    s = parallel(policy="any")
    s.when(start()).when(failed("p/a")).then("stage_failed", "branch_completed")
    s.when(failed("p/b")).then("stage_failed", "session_failed")


def test_under_any_with_cancel_the_first_failure_ends_it() -> None:
    s = parallel(policy="any", cancel_on_error=True)
    s.when(start()).when(failed("p/a")).then("stage_failed", "session_failed")


def test_a_branch_ends_at_a_terminal_or_on_reaching_the_joins_next_which_runs_once() -> None:
    s = Scenario(
        pipeline(
            {**PARALLEL, "next": "c"},
            stage("a", "c"),
            stage("b", "t"),
            terminal("t"),
            stage("c", "end"),
            terminal(),
        )
    )
    s.when(start()).when(completed("p/a")).then("stage_completed", "branch_completed")
    s.when(completed("p/b")).then("stage_completed", "branch_completed", event("parallel_completed", next="c"))
    assert list(s.state.runs) == [""]


def test_an_inner_join_that_fails_is_absorbed_by_an_outer_one_that_goes_on() -> None:
    s = Scenario(
        pipeline(
            {"id": "o", "type": "parallel", "children": ["p", "x"], "cancel_on_error": False, "next": "end"},
            {**PARALLEL, "next": None},
            stage("a"),
            stage("b"),
            stage("x"),
            terminal(),
        )
    )
    s.when(start())
    s.when(failed("o/p/p/a")).then(
        "stage_failed",
        event("branch_completed", scope="o/p/p/a"),
        event("parallel_completed", scope="o/p", node="p", cancelled=["b"], next=None),
        event("branch_completed", scope="o/p", node="o"),
    )
    s.when(completed("o/x")).then("stage_completed", "branch_completed", "parallel_completed", *END)


MAP = {"id": "m", "type": "map", "items": "in", "body": "b", "output_map": {"out": "all.outs"}, "next": "end"}


def mapped(**fields: Any) -> Scenario:
    return Scenario(pipeline({**MAP, **fields}, stage("b", arguments={"v": "item"}), terminal(artifacts=["all.outs"])))


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_map_collects_one_entry_per_item_in_item_order(mode: str) -> None:
    s = mapped(mode=mode)
    s.when(start(**{"in": [10, 20, 30]}))
    order = [0, 1, 2] if mode == "sequential" else [2, 0, 1]
    for index in order:
        assert s.state.runs[f"m[{index}]"].arguments == {"v": (index + 1) * 10}
        writes = {} if index == 1 else {"out": index}
        s.when(completed(f"m[{index}]", writes=writes))
    assert s.state.artifacts == {"all.outs": [0, None, 2]}
    assert "out" not in s.context()
    assert "item" not in s.context()


def test_a_sequential_map_runs_one_at_a_time_and_max_concurrency_bounds_a_parallel_one() -> None:
    one = mapped().when(start(**{"in": [1, 2, 3]}))
    assert list(one.state.runs) == ["m[0]"]
    two = mapped(mode="parallel", max_concurrency=2).when(start(**{"in": [1, 2, 3]}))
    assert list(two.state.runs) == ["m[0]", "m[1]"]


def test_a_map_over_nothing_gives_empty_lists() -> None:
    s = mapped().when(start(**{"in": []}))
    s.then("session_started", event("map_started", count=0), "map_completed", *END)
    assert s.state.artifacts == {"all.outs": []}


@pytest.mark.parametrize("payload", [{}, {"in": None}, {"in": {"a": 1}}, {"in": "text"}])
def test_a_map_over_something_else_than_a_list_fails(payload: dict[str, Any]) -> None:
    s = mapped().when(start(**payload)).then("session_started", "map_completed", "session_failed")
    assert s.state.error is not None
    assert s.state.error.type == "MapItems"


def test_a_failed_item_fails_the_map_or_gives_null() -> None:
    s = mapped().when(start(**{"in": [1, 2]})).when(failed("m[0]")).then("stage_failed", "session_failed")
    s = mapped(cancel_on_error=False).when(start(**{"in": [1, 2]}))
    s.when(failed("m[0]")).then("stage_failed", "iteration_completed")
    s.when(completed("m[1]", writes={"out": 7}))
    assert s.state.artifacts == {"all.outs": [None, 7]}


def test_an_iteration_sees_the_context_as_it_was_when_the_map_began() -> None:
    s = Scenario(
        pipeline(
            {"id": "p", "type": "parallel", "children": ["m", "w"], "next": "end"},
            {**MAP, "next": None},
            stage("b", arguments={"v": "shared"}),
            stage("w"),
            terminal(),
        )
    )
    s.when(start(**{"in": [1, 2], "shared": "old"}))
    s.when(completed("p/w", writes={"shared": "new"}), completed("p/m/m[0]"))
    assert s.state.runs["p/m/m[1]"].arguments == {"v": "old"}


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


def test_nothing_is_due_twice() -> None:
    s = parallel().when(start()).when(nothing(), nothing()).then()
    assert s.state.n == 2


def test_what_a_failed_item_had_written_before_does_not_leave_it() -> None:
    nodes = [{**MAP, "cancel_on_error": False}, stage("b", "c", outputs={"out": "out"}), stage("c"), terminal()]
    s = Scenario(pipeline(*nodes)).when(start(**{"in": [1, 2]}))
    s.when(completed("m[0]", writes={"out": "half"}), failed("m[0]"))
    s.then("stage_completed", "stage_failed", event("iteration_completed", outputs={}))
    s.when(completed("m[1]", writes={"out": "whole"}), completed("m[1]"))
    assert s.context()["all"] == {"outs": [None, "whole"]}


# --- how far scopes may spread ---------------------------------------------------------------------------------


def itself(**fields: Any) -> dict[str, Any]:
    return {"id": "m", "type": "map", "items": "list", "body": "m", "next": "end", **fields}


def test_a_body_that_maps_itself_for_ever_fails_before_it_takes_the_memory_of_its_engine() -> None:
    s = Scenario(pipeline(itself(), terminal())).when(start(list=[1, 2]))
    error = s.state.error
    assert s.state.status == "failed"
    assert error is not None
    assert (error.type, error.node) == ("ScopeLimit", "m")
    assert f"{MAX_DEPTH} deep" in error.message
    assert len(s.history) < 10 * MAX_DEPTH


def test_a_branch_that_opens_its_own_parallel_node_inside_for_ever_fails() -> None:
    again = {"id": "c", "type": "condition", "conditions": [{"if": True, "then": "p"}], "else": "end"}
    parallel = {"id": "p", "type": "parallel", "children": ["c"], "next": "end"}
    s = Scenario(pipeline(parallel, again, terminal())).when(start())
    assert s.state.error is not None
    assert s.state.error.type == "ScopeLimit"


def test_a_tree_may_be_walked_as_deep_as_json_may_be_nested() -> None:
    tree: dict[str, Any] = {"children": []}
    for _ in range(60):
        tree = {"children": [tree]}
    walk = itself(items="node.children", item_path="node")
    s = Scenario(pipeline(walk, terminal())).when(start(node=tree))
    assert s.state.status == "completed"


def test_long_ids_inside_one_another_fail_before_their_paths_fill_the_memory() -> None:
    name = "m" * (MAX_PATH // 4)
    s = Scenario(pipeline(itself(id=name, body=name), terminal())).when(start(list=[1]))
    assert s.state.error is not None
    assert "characters long" in s.state.error.message


def test_a_map_opens_no_more_scopes_at_once_than_there_is_room_for() -> None:
    wide = {"id": "m", "type": "map", "items": "list", "body": "s", "mode": "parallel", "next": "end"}
    items = [None] * (MAX_SCOPES + 1)
    s = Scenario(pipeline(wide, stage("s"), terminal())).when(start(list=items))
    assert s.state.error is not None
    assert "max_concurrency" in s.state.error.message
    narrow = {**wide, "max_concurrency": 2}
    s = Scenario(pipeline(narrow, stage("s"), terminal())).when(start(list=items))
    assert s.state.status == "running"


def test_a_subpipeline_has_no_more_room_than_other_scopes() -> None:
    run = {"id": "r" * MAX_PATH, "type": "subpipeline", "subpipeline_id": "s", "next": "end"}
    inner = pipeline({**run, "id": "r"}, terminal(), subpipelines={"s": pipeline(terminal())})
    s = Scenario(pipeline({**run, "subpipeline_id": "o"}, terminal(), subpipelines={"o": inner})).when(start())
    assert s.state.error is not None
    assert s.state.error.type == "ScopeLimit"
