"""A definition is validated whole: every problem at once, each where it is, with what would be right."""

from __future__ import annotations

import time
from typing import Any

import pytest

from stageflow_es.errors import Problem
from stageflow_es.pipeline import FieldSpec, StageSpec, validate
from stageflow_es.pipeline.calls import MAX_CALLS
from stageflow_es.pipeline.document import MAX_NESTING, MAX_NODES
from stageflow_es.pipeline.plain import MAX_BYTES

END = {"id": "end", "type": "terminal"}
STAGES = {
    "Concat": StageSpec(
        stage_name="Concat",
        arguments=(FieldSpec(name="parts"), FieldSpec(name="separator")),
        config=(FieldSpec(name="parts"), FieldSpec(name="output_key")),
        outputs=(FieldSpec(name="value"),),
    ),
    "Checks": StageSpec(
        stage_name="Checks",
        config=(
            FieldSpec(name="condition", type="object", format="json-logic"),
            FieldSpec(name="text", type="string", format="template"),
            FieldSpec(name="count", type="integer"),
            FieldSpec(name="other", type="Order", format="date"),
        ),
    ),
    "Silent": StageSpec(stage_name="Silent"),
    "Bare": StageSpec(stage_name="Bare", arguments=(), config=(), outputs=()),
}


def document(*nodes: Any, entry: str | None = None, **more: Any) -> dict[str, Any]:
    return {"entry": entry or nodes[0]["id"], "nodes": list(nodes), **more}


def stage(id: str, next: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "Concat", "next": next, **more}


def parallel(id: str, *children: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "parallel", "children": list(children), **more}


def condition(id: str, *targets: str, rule: Any = True, otherwise: str | None = None) -> dict[str, Any]:
    conditions = [{"if": rule, "then": target} for target in targets]
    return {"id": id, "type": "condition", "conditions": conditions, "else": otherwise}


def each(id: str, body: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "map", "items": "list", "body": body, **more}


def checks(rule: Any = True, next: str | None = None, **config: Any) -> dict[str, Any]:
    return {"id": "a", "type": "stage", "stage": "Checks", "next": next, "config": {"condition": rule, **config}}


def runs(name: str, id: str = "run") -> dict[str, Any]:
    return {"id": id, "type": "subpipeline", "subpipeline_id": name}


def errors(data: Any, **more: Any) -> dict[str, str]:
    return {p.path: p.message for p in validate(data, **more) if p.severity == "error"}


def warnings(data: Any, **more: Any) -> dict[str, str]:
    return {p.path: p.message for p in validate(data, **more) if p.severity == "warning"}


def test_a_sound_definition_has_no_problems() -> None:
    assert validate(document(stage("a", "end"), END), STAGES) == []


@pytest.mark.parametrize(
    ("data", "kind"),
    [(None, "null"), (True, "a boolean"), (3, "a number"), ("x", "a text"), ([], "a list")],
)
def test_what_is_no_object_is_no_pipeline(data: Any, kind: str) -> None:
    assert errors(data) == {"": f"a pipeline must be an object, not {kind}"}


WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("no entry", {"nodes": [END]}, "", "a pipeline needs `entry`"),
    ("no nodes", {"entry": "a"}, "", "a pipeline needs `nodes`"),
    ("nodes empty", {"entry": "a", "nodes": []}, "/nodes", "at least one node"),
    ("nodes no list", {"entry": "a", "nodes": {}}, "/nodes", "must be a list of nodes, not an object"),
    ("entry null", {"entry": None, "nodes": [END]}, "/entry", "must be a text, not null"),
    ("unknown field", document(END, metdata={}), "/metdata", "did you mean 'metadata'?"),
    ("field in another case", document(END, Metadata={}), "/Metadata", "did you mean 'metadata'?"),
    ("field like nothing", document(END, zzz=1), "/zzz", "it may have entry, nodes"),
    ("metadata null", document(END, metadata=None), "/metadata", "must be an object, not null"),
    ("api_version", document(END, api_version=2), "/api_version", "a text or null"),
    ("max_transitions zero", document(END, max_transitions=0), "/max_transitions", "1 or more, not 0"),
    ("max_transitions half", document(END, max_transitions=1.5), "/max_transitions", "1 or more, not 1.5"),
    ("max_transitions bool", document(END, max_transitions=True), "/max_transitions", "not a boolean"),
    ("subpipelines list", document(END, subpipelines=[]), "/subpipelines", "must be an object"),
    ("subpipeline no object", document(END, subpipelines={"x": 1}), "/subpipelines/x", "must be an object"),
    ("subpipeline unnamed", document(END, subpipelines={"": document(END)}), "/subpipelines/", "not be empty"),
    ("node no object", document(END, "end"), "/nodes/1", "a node must be an object, not a text"),
    ("no type", document({"id": "a"}), "/nodes/0", "no `type`; it must be one of stage, condition"),
    ("type typo", document({"id": "a", "type": "stge"}), "/nodes/0/type", "did you mean 'stage'?"),
    ("type number", document({"id": "a", "type": 1}), "/nodes/0/type", "not a number"),
    ("no id", document({"type": "terminal"}, entry="x"), "/nodes/0", "a terminal node needs `id`"),
    ("id empty", document({"id": "", "type": "terminal"}, entry="x"), "/nodes/0/id", "must not be empty"),
    ("id twice", document(END, END), "/nodes/1/id", "already taken by /nodes/0"),
    ("stage missing", document({"id": "a", "type": "stage"}), "/nodes/0", "a stage node needs `stage`"),
    ("unknown node field", document(stage("a", argments={})), "/nodes/0/argments", "did you mean 'arguments'?"),
    ("field of another type", document({**END, "next": None}), "/nodes/0/next", "has no field 'next'"),
    ("next number", document(stage("a", 3)), "/nodes/0/next", "must be a text or null, not a number"),
    ("next empty", document(stage("a", "")), "/nodes/0/next", "must not be empty"),
    ("config null", document(stage("a", config=None)), "/nodes/0/config", "must be an object, not null"),
    ("argument no path", document(stage("a", arguments={"parts": 1})), "/nodes/0/arguments/parts", "a context path"),
    ("path empty", document(stage("a", outputs={"value": ""})), "/nodes/0/outputs/value", "must not be empty"),
    ("path gap", document(stage("a", outputs={"value": "a..b"})), "/nodes/0/outputs/value", "an empty part"),
    ("path tail", document(stage("a", outputs={"value": "a."})), "/nodes/0/outputs/value", "an empty part"),
    ("bad rule in a config", document(checks({"nope": 1})), "/nodes/0/config/condition/nope", "unknown operator"),
    ("empty rule in a config", document(checks({})), "/nodes/0/config/condition", "write true"),
    ("bad template", document(checks(text="{a")), "/nodes/0/config/text", "is not closed"),
    ("no conditions", document(condition("a")), "/nodes/0/conditions", "at least one condition"),
    ("if missing", document({**condition("a"), "conditions": [{"then": "a"}]}), "/nodes/0/conditions/0", "`if`"),
    ("then missing", document({**condition("a"), "conditions": [{"if": 1}]}), "/nodes/0/conditions/0", "`then`"),
    ("condition no object", document({**condition("a"), "conditions": [1]}), "/nodes/0/conditions/0", "an object"),
    (
        "condition field",
        document({**condition("a"), "conditions": [{"if": 1, "then": "a", "els": "a"}]}),
        "/nodes/0/conditions/0/els",
        "a condition has no field 'els'",
    ),
    ("bad rule", document(condition("a", "a", rule={"equals": [1]})), "/nodes/0/conditions/0/if/equals", "unknown"),
    ("empty rule", document(condition("a", "a", rule={})), "/nodes/0/conditions/0/if", "write true"),
    ("no children", document(parallel("a")), "/nodes/0/children", "at least one child"),
    ("child number", document(parallel("a", 1), END), "/nodes/0/children/0", "must be a text"),  # type: ignore[arg-type]
    ("child twice", document(parallel("a", "end", "end"), END), "/nodes/0/children/1", "listed twice"),
    ("policy", document(parallel("a", "end", policy="some"), END), "/nodes/0/policy", "'all' or 'any'"),
    ("cancel null", document(parallel("a", "end", cancel_on_error=None), END), "/nodes/0/cancel_on_error", "true or"),
    ("own child", document(parallel("a", "a")), "/nodes/0/children/0", "its own child"),
    ("items missing", document({"id": "a", "type": "map", "body": "end"}, END), "/nodes/0", "a map node needs `items`"),
    ("mode", document(each("a", "end", mode="serial"), END), "/nodes/0/mode", "'sequential' or 'parallel'"),
    ("concurrency", document(each("a", "end", max_concurrency=0), END), "/nodes/0/max_concurrency", "1 or more"),
    ("index everywhere", document(each("a", "end", index_path="payload"), END), "/nodes/0/index_path", "a name in it"),
    ("output_map key", document(each("a", "end", output_map={"a..b": "c"}), END), "/nodes/0/output_map/a..b", "empty"),
    ("unknown sub", document(runs("sbu"), subpipelines={"sub": document(END)}), "/nodes/0/subpipeline_id", "'sub'?"),
    ("result text", document({**END, "result": "done"}), "/nodes/0/result", "an object or null, not a text"),
    ("artifacts text", document({**END, "artifacts": "a"}), "/nodes/0/artifacts", "a list of context paths"),
    ("artifact number", document({**END, "artifacts": ["a", 1]}), "/nodes/0/artifacts/1", "must be a context path"),
    (
        "entry dangling",
        document(END, entry="ned"),
        "/entry",
        "there is no node 'ned' in this document; did you mean 'end'",
    ),
    ("next dangling", document(stage("a", "edn"), END), "/nodes/0/next", "did you mean 'end'?"),
    ("fallback dangling", document(stage("a", fallback="x")), "/nodes/0/fallback", "there is no node 'x'"),
    ("then dangling", document(condition("a", "x")), "/nodes/0/conditions/0/then", "there is no node 'x'"),
    ("else dangling", document(condition("a", "a", otherwise="x")), "/nodes/0/else", "there is no node 'x'"),
    ("child dangling", document(parallel("a", "x")), "/nodes/0/children/0", "there is no node 'x'"),
    ("body dangling", document(each("a", "x")), "/nodes/0/body", "there is no node 'x'"),
    ("pointer escapes", document(END, **{"a/b~c": 1}), "/a~1b~0c", "has no field"),
]


@pytest.mark.parametrize(("data", "path", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_mistake_is_found_where_it_is(data: Any, path: str, words: str) -> None:
    found = errors(data, stages=STAGES)
    assert words in found.get(path, str(found))


NULLS: dict[str, dict[str, Any]] = {
    "stage": document(stage("a", None, fallback=None)),
    "condition": document(condition("a", "end", otherwise=None), END),
    "parallel": document(parallel("a", "end", next=None), END),
    "map": document(each("a", "end", next=None, index_path=None, max_concurrency=None), END),
    "subpipeline": document({**runs("s"), "result_output": None, "next": None}, subpipelines={"s": document(END)}),
    "terminal": document({**END, "result": None, "artifacts": []}),
    "pipeline": document(END, api_version=None, subpipelines={}),
    "empty objects": document(stage("a", config={}, arguments={}, outputs={}, metadata={})),
}


@pytest.mark.parametrize("data", NULLS.values(), ids=NULLS)
def test_null_is_taken_where_it_means_nothing_there(data: Any) -> None:
    assert errors(data, stages=STAGES) == {}


def test_all_problems_are_reported_at_once_errors_first() -> None:
    data = document(
        stage("a", "nowhere", argments={}, config={"parts": [], "x": 1}),
        {"id": "c", "type": "condition", "conditions": [{"if": {"nope": 1}, "then": "gone"}, 7]},
        {"id": "c", "type": "mpa"},
        END,
        subpipelines={"sub": {"entry": "x", "nodes": [parallel("p", "p"), {"id": "y"}], "node": []}},
    )
    problems = validate(data, STAGES)
    assert [problem.severity for problem in problems] == sorted(problem.severity for problem in problems)
    assert {problem.path for problem in problems if problem.severity == "error"} == {
        "/nodes/0/argments",
        "/nodes/0/config/x",
        "/nodes/0/next",
        "/nodes/1/conditions/0/if/nope",
        "/nodes/1/conditions/0/then",
        "/nodes/1/conditions/1",
        "/nodes/2/id",
        "/nodes/2/type",
        "/subpipelines/sub/entry",
        "/subpipelines/sub/node",
        "/subpipelines/sub/nodes/0/children/0",
        "/subpipelines/sub/nodes/1",
    }


def test_one_mistake_does_not_make_others_up() -> None:
    data = document(stage("a", "b"), {"id": "b", "type": "stge", "next": "c"}, {**stage("c", "b"), "stage": 4}, END)
    assert [problem.path for problem in validate(data, STAGES)] == ["/nodes/1/type", "/nodes/2/stage", "/nodes/3"]


def test_subpipelines_are_validated_unused_and_at_any_depth() -> None:
    inner = document(END, stage("x", "nowhere"))
    data = document(END, subpipelines={"a": document(END, subpipelines={"b/c": inner})})
    assert list(errors(data)) == ["/subpipelines/a/subpipelines/b~1c/nodes/1/next"]


# --- stages ----------------------------------------------------------------------------------------------------


def test_an_unknown_stage_is_named_with_the_nearest_known_one() -> None:
    data = document({"id": "a", "type": "stage", "stage": "Concta"})
    assert errors(data, stages=STAGES) == {"/nodes/0/stage": "there is no stage 'Concta'; did you mean 'Concat'?"}
    assert errors(data) == {}


def test_names_a_stage_does_not_document_are_errors() -> None:
    data = document(stage("a", arguments={"partz": "x"}, config={"foo": 1}, outputs={"valeu": "y"}))
    assert errors(data, stages=STAGES) == {
        "/nodes/0/arguments/partz": "stage 'Concat' has no argument 'partz'; did you mean 'parts'?",
        "/nodes/0/config/foo": "stage 'Concat' has no config entry 'foo' (it documents output_key, parts)",
        "/nodes/0/outputs/valeu": "stage 'Concat' has no output 'valeu'; did you mean 'value'?",
    }
    assert errors(data) == {}


def test_a_stage_that_documents_that_it_takes_none_takes_none() -> None:
    data = document({**stage("a", arguments={"x": "y"}), "stage": "Bare"})
    assert errors(data, stages=STAGES) == {
        "/nodes/0/arguments/x": "stage 'Bare' has no argument 'x' (it documents none)"
    }


def test_a_stage_that_documents_nothing_gets_a_warning_only() -> None:
    data = document({**stage("a", "end", arguments={"x": "y"}, config={"z": 1}), "stage": "Silent"}, END)
    assert errors(data, stages=STAGES) == {}
    assert set(warnings(data, stages=STAGES)) == {"/nodes/0/arguments", "/nodes/0/config"}


def test_a_config_of_another_type_than_is_documented_is_a_warning() -> None:
    wrong = {"text": 5, "count": 1.5, "other": [1]}
    assert warnings(document(checks(next="end", **wrong), END), stages=STAGES) == {
        "/nodes/0/config/text": "stage 'Checks' documents this as string, it is a number",
        "/nodes/0/config/count": "stage 'Checks' documents this as integer, it is a number",
    }
    assert "a boolean" in warnings(document(checks(count=True)), stages=STAGES)["/nodes/0/config/count"]
    assert validate(document(checks([True], "end", text="{x}", count=None, other=None), END), STAGES) == []


def test_an_output_renamed_by_the_config_is_known() -> None:
    data = document(stage("a", "end", config={"output_key": "name"}, outputs={"name": "name", "value": "v"}), END)
    assert validate(data, STAGES) == []


# --- references ------------------------------------------------------------------------------------------------


def test_a_node_nobody_reaches_is_a_warning() -> None:
    data = document(stage("a", "end"), END, stage("b", "c"), stage("c"))
    assert warnings(data) == {
        "/nodes/2": "node 'b' is never reached from 'a'",
        "/nodes/3": "node 'c' is never reached from 'a'",
    }


def test_every_kind_of_reference_reaches() -> None:
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


# --- limits ----------------------------------------------------------------------------------------------------


def test_a_chain_of_subpipelines_may_only_be_so_long() -> None:
    def chain(length: int) -> dict[str, Any]:
        subs = {f"s{n}": document(runs(f"s{n + 1}")) for n in range(length - 1)}
        return document(runs("s0"), subpipelines={**subs, f"s{length - 1}": document(END)})

    assert errors(chain(MAX_CALLS)) == {}
    assert "deep inside one another" in str(errors(chain(MAX_CALLS + 1)))


def test_definitions_may_only_be_nested_so_deep() -> None:
    def nest(levels: int) -> dict[str, Any]:
        return document(END, subpipelines={"s": nest(levels - 1)}) if levels else document(END)

    assert errors(nest(MAX_NESTING)) == {}
    assert "levels deep" in str(errors(nest(MAX_NESTING + 1)))


def test_there_may_only_be_so_many_nodes_in_all() -> None:
    half = [{"id": f"n{n}", "type": "terminal"} for n in range(MAX_NODES // 2)]
    assert errors(document(*half, subpipelines={"s": document(*half)})) == {}
    found = errors(document(*half, END, subpipelines={"s": document(*half)}))
    assert found == {"/nodes": f"a pipeline may have {MAX_NODES:,} nodes at most, here are {MAX_NODES + 1:,}"}


def test_a_definition_may_only_be_so_large() -> None:
    assert "bytes long at most" in errors(document(END, metadata={"x": "y" * MAX_BYTES}))[""]


@pytest.mark.parametrize(
    ("value", "path", "words"),
    [
        (float("nan"), "/metadata/x", "nan is no JSON number"),
        (float("inf"), "/metadata/x", "inf is no JSON number"),
        (10**5000, "/metadata/x", "bits long at most"),
        ((1, 2), "/metadata/x", "a Python tuple is no JSON value"),
        ({1: 2}, "/metadata/x", "1 cannot be a key in JSON"),
        ({"a": [b"bytes"]}, "/metadata/x/a/0", "a Python bytes is no JSON value"),
        (object(), "/metadata/x", "a Python object is no JSON value"),
        ("\ud800", "/metadata/x", "lone surrogate"),
    ],
    ids=["nan", "inf", "huge", "tuple", "key", "bytes", "object", "surrogate"],
)
def test_what_is_no_json_is_named(value: Any, path: str, words: str) -> None:
    (problem,) = validate(document(END, metadata={"x": value}))
    assert (problem.path, words in problem.message) == (path, True)


def test_a_structure_without_end_is_refused() -> None:
    endless: dict[str, Any] = {}
    endless["x"] = endless
    assert validate(document(END, metadata=endless)) == [
        Problem(message="a definition may be nested 128 levels deep at most")
    ]


def test_two_thousand_nodes_with_four_mistakes_each_are_all_reported_quickly() -> None:
    nodes = [
        {
            "id": f"node{n}",
            "type": "stage",
            "stage": f"Unknown{n}",
            "argments": {},
            "outputs": {"x": "a..b"},
            "next": f"mode{n * 7919 % 2000}",
        }
        for n in range(2000)
    ]
    data = document(*nodes)
    best = 60.0
    for _ in range(3):
        before = time.perf_counter()
        problems = validate(data, STAGES)
        best = min(best, time.perf_counter() - before)
    assert sum(problem.severity == "error" for problem in problems) == 8000
    assert "did you mean 'node" in next(problem.message for problem in problems if problem.path == "/nodes/1/next")
    assert best < 1.0
