"""What validation says of where nodes lead: ways to an end, ways that join, and pipelines inside pipelines."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es.pipeline import validate
from tests.unit.pipeline.documents import END, condition, document, each, errors, parallel, runs, stage, warnings


def test_a_node_nobody_reaches_is_a_warning() -> None:
    data = document(stage("a", "end"), END, stage("b", "c"), stage("c"))
    assert warnings(data) == {
        "/nodes/2": "node 'b' is never reached from 'a'",
        "/nodes/3": "node 'c' is never reached from 'a'",
    }


def test_a_node_is_reached_by_every_kind_of_reference() -> None:
    data = document(
        stage("a", "b", fallback="f"),
        condition("b", "p", otherwise="e"),
        stage("f", "end"),
        parallel("p", "m", next="u"),
        each("m", "body", next="n"),
        stage("body"),
        stage("n"),
        {**runs("s", "u"), "next": "end"},
        stage("e", "end"),
        END,
        subpipelines={"s": document(END)},
    )
    assert validate(data) == []


def test_a_cycle_through_a_condition_is_legal() -> None:
    assert validate(document(stage("a", "c"), condition("c", "end", otherwise="a"), END)) == []


def test_a_branch_that_always_leads_back_to_its_parallel_node_is_an_error() -> None:
    data = document(parallel("p", "a", "b", next="end"), stage("a", "c"), stage("c", "p"), stage("b"), END)
    assert list(errors(data)) == ["/nodes/0/children/0"]
    assert "never join" in errors(data)["/nodes/0/children/0"]


def test_under_any_such_a_branch_may_lose_and_is_a_warning() -> None:
    data = document(parallel("p", "a", "b", next="end", policy="any"), stage("a", "p"), stage("b"), END)
    assert errors(data) == {}
    assert list(warnings(data)) == ["/nodes/0/children/0"]


def test_a_branch_that_can_lead_back_or_out_is_a_warning() -> None:
    data = document(parallel("p", "c", next="end"), condition("c", "p", otherwise="end"), END)
    assert errors(data) == {}
    assert "open it again inside" in warnings(data)["/nodes/0/children/0"]


def test_a_branch_without_a_way_out_is_a_warning() -> None:
    data = document(parallel("p", "a", "b", policy="any", next="end"), stage("a", "a"), stage("b"), END)
    assert errors(data) == {}
    assert "no way out" in warnings(data)["/nodes/0/children/0"]


@pytest.mark.parametrize(
    "branch",
    [
        [stage("a", "end")],
        [stage("a")],
        [stage("a", "join")],
        [condition("a", "a2", otherwise="join"), stage("a2", "a")],
        [stage("a", "loop"), condition("loop", "a", otherwise="end")],
        [parallel("a", "inner", next="join"), stage("inner")],
    ],
)
def test_branches_that_end_are_left_alone(branch: list[dict[str, Any]]) -> None:
    assert validate(document(parallel("p", "a", "end", next="join"), *branch, stage("join", "end"), END)) == []


def test_a_child_or_body_that_is_also_next_is_a_warning() -> None:
    assert list(warnings(document(parallel("p", "end", next="end"), END))) == ["/nodes/0/children/0"]
    assert list(warnings(document(each("m", "end", next="end"), END))) == ["/nodes/0/body"]


def test_a_body_that_maps_again_is_a_warning_because_it_may_walk_a_tree() -> None:
    tree = each("m", "m", items="node.children", item_path="node")
    assert errors(document(tree)) == {}
    assert "inside each item" in warnings(document(tree))["/nodes/0/body"]


def test_a_body_without_a_way_out_is_a_warning() -> None:
    assert "no way out" in warnings(document(each("m", "a", next="end"), stage("a", "a"), END))["/nodes/0/body"]


@pytest.mark.parametrize("last", [stage("b"), parallel("b", "x"), each("b", "x"), runs("sub", "b")])
def test_a_pipeline_that_comes_to_a_node_without_next_fails_there_which_is_a_warning(last: dict[str, Any]) -> None:
    data = document(stage("a", "b"), last, stage("x"), END, subpipelines={"sub": document(END)})
    assert warnings(data)["/nodes/1"] == (
        "node 'b' has no `next`: the pipeline fails here, for only a terminal ends it"
    )
    assert "only a terminal" not in warnings(data).get("/nodes/2", "")
    inner = document(END, subpipelines={"s": document(stage("a"))})
    assert "only a terminal" in warnings(inner)["/subpipelines/s/nodes/0"]


@pytest.mark.parametrize(
    "loop",
    [
        [stage("a", "a")],
        [stage("a", "b", fallback="a"), condition("b", "a", otherwise="b")],
        [parallel("a", "end", next="b"), stage("b", "a")],
    ],
)
def test_a_pipeline_that_comes_to_no_terminal_is_a_warning(loop: list[dict[str, Any]]) -> None:
    assert "no way from 'a' comes to a terminal" in warnings(document(*loop, END))["/entry"]


def test_a_pipeline_whose_end_is_not_sure_may_have_one() -> None:
    assert warnings(document(stage("a", "nowhere"))) == {}
    assert warnings(document(stage("a", "b"), {"id": "b", "type": "stge"})) == {}


# --- subpipelines ----------------------------------------------------------------------------------------------


def test_a_subpipeline_that_runs_itself_is_refused() -> None:
    data = document(END, subpipelines={"s": document(runs("s"))})
    assert errors(data) == {"/subpipelines/s/nodes/0/subpipeline_id": "subpipeline 's' runs itself; it could never end"}


def test_a_subpipeline_that_runs_itself_round_about_is_refused() -> None:
    data = document(
        runs("a"), subpipelines={"a": document(runs("b")), "b": document(runs("c")), "c": document(runs("b"))}
    )
    found = errors(data)
    assert list(found) == ["/subpipelines/c/nodes/0/subpipeline_id"]
    assert "'b -> c -> b'" in found["/subpipelines/c/nodes/0/subpipeline_id"]


def test_recursion_through_a_nested_definition_is_refused() -> None:
    data = document(END, subpipelines={"a": document(runs("b"), subpipelines={"b": document(runs("a"))})})
    assert list(errors(data)) == ["/subpipelines/a/subpipelines/b/nodes/0/subpipeline_id"]


def test_a_shadowed_name_is_not_recursion() -> None:
    inner = document(END)
    data = document(runs("a"), subpipelines={"a": document(runs("a"), subpipelines={"a": inner})})
    assert errors(data) == {}


def test_a_subpipeline_is_not_seen_from_outside_of_where_it_is_defined() -> None:
    data = document(runs("inner"), subpipelines={"outer": document(END, subpipelines={"inner": document(END)})})
    assert errors(data) == {
        "/nodes/0/subpipeline_id": "there is no subpipeline 'inner' here or around here (there are: 'outer')"
    }


def test_no_name_of_one_letter_is_near_to_another() -> None:
    data = document(stage("a", "x"), {**END, "id": "b"})
    assert errors(data)["/nodes/0/next"] == "there is no node 'x' in this document"


def test_an_artifact_that_a_subpipeline_does_not_leave_behind_is_a_warning() -> None:
    child = document(condition("c", "good", otherwise="bad"), {**END, "id": "good", "artifacts": ["total", "tax"]})
    child["nodes"].append({**END, "id": "bad", "artifacts": ["tax"]})
    node = {**runs("s"), "next": "end", "artifact_outputs": {"a": "totl", "b": "total", "c": "tax"}}
    assert warnings(document(node, END, subpipelines={"s": child})) == {
        "/nodes/0/artifact_outputs/a": "no terminal of subpipeline 's' leaves 'totl' behind; did you mean 'total'?",
        "/nodes/0/artifact_outputs/b": "not every terminal of subpipeline 's' leaves 'total' behind",
    }


def test_what_a_subpipeline_with_mistakes_of_its_own_leaves_behind_is_not_judged() -> None:
    node = {**runs("s"), "next": "end", "artifact_outputs": {"a": "b"}}
    for child in (document(stage("x", "gone")), document({**END, "artifacts": "b"}), document({"id": "x"})):
        assert "/nodes/0/artifact_outputs/a" not in warnings(document(node, END, subpipelines={"s": child}))
