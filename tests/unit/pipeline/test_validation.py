"""A definition is validated whole: every problem at once, each where it is, with what would be right."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es.pipeline import validate
from tests.unit.pipeline.documents import (
    END,
    STAGES,
    checks,
    condition,
    document,
    each,
    errors,
    parallel,
    runs,
    stage,
    warnings,
)


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
