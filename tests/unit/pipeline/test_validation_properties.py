"""For any document: validation says something and never raises, and what it passes can be compiled and run."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageflow_es.pipeline import Pipeline, StageSpec, canonical, pipeline_schema, validate
from stageflow_es.pipeline.document import Walk
from stageflow_es.pipeline.plain import json_problems
from stageflow_es.pipeline.report import Report

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
ANYTHING = st.recursive(
    JSON | st.floats() | st.binary(max_size=3) | st.text(st.characters(), max_size=3) | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3)
        | st.tuples(inner)
    ),
    max_leaves=8,
)
IDS = st.sampled_from(["a", "b", "c", "d", "e", "gone"])
OPTIONAL_ID = st.none() | IDS
PATHS = st.sampled_from(["x", "x.y", "payload.list.0", "item", "a..b", ""])
RULES = st.sampled_from([True, {"var": "x"}, {"==": [{"var": "x"}, 1]}, {"nope": 1}, {}, [], {"method": ["a", "b"]}])

SHAPES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "stage": {
        "stage": st.sampled_from(["S", "T"]),
        "config": st.dictionaries(st.text(max_size=2), JSON, max_size=2),
        "arguments": st.dictionaries(st.text(max_size=2), PATHS, max_size=2),
        "outputs": st.dictionaries(st.text(max_size=2), PATHS, max_size=2),
        "next": OPTIONAL_ID,
        "fallback": OPTIONAL_ID,
    },
    "condition": {
        "conditions": st.lists(st.fixed_dictionaries({"if": RULES, "then": IDS}), max_size=3),
        "else": OPTIONAL_ID,
    },
    "parallel": {
        "children": st.lists(IDS, max_size=3),
        "policy": st.sampled_from(["all", "any", "both"]),
        "cancel_on_error": st.booleans(),
        "next": OPTIONAL_ID,
    },
    "map": {
        "items": PATHS,
        "body": IDS,
        "mode": st.sampled_from(["sequential", "parallel", "x"]),
        "item_path": PATHS,
        "index_path": st.none() | PATHS,
        "output_map": st.dictionaries(PATHS, PATHS, max_size=2),
        "cancel_on_error": st.booleans(),
        "max_concurrency": st.none() | st.integers(0, 3),
        "next": OPTIONAL_ID,
    },
    "subpipeline": {
        "subpipeline_id": st.sampled_from(["s", "t", "gone"]),
        "inputs": st.dictionaries(PATHS, PATHS, max_size=2),
        "artifact_outputs": st.dictionaries(PATHS, PATHS, max_size=2),
        "result_output": st.none() | PATHS,
        "next": OPTIONAL_ID,
    },
    "terminal": {
        "result": st.none() | st.dictionaries(st.text(max_size=2), JSON, max_size=2),
        "artifacts": st.lists(PATHS, max_size=2),
    },
}
NEEDED = {"stage", "conditions", "children", "items", "body", "subpipeline_id"}


@st.composite
def nodes(draw: st.DrawFn, id: str) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(SHAPES)))
    shape = SHAPES[kind]
    optional = {name: value for name, value in shape.items() if name not in NEEDED}
    fields = draw(
        st.fixed_dictionaries(
            {name: value for name, value in shape.items() if name in NEEDED},
            optional=optional,
        )
    )
    return {"id": id, "type": kind, **fields}


@st.composite
def pipelines(draw: st.DrawFn, depth: int = 1) -> dict[str, Any]:
    size = draw(st.integers(1, 5))
    data: dict[str, Any] = {"entry": "a", "nodes": [draw(nodes("abcde"[n])) for n in range(size)]}
    if depth and draw(st.booleans()):
        data["subpipelines"] = draw(st.dictionaries(st.sampled_from(["s", "t"]), pipelines(depth - 1), max_size=2))
    return data


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*path, key))
    return found


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A pipeline in which one place was replaced, removed, or given a stranger beside it."""
    data = deepcopy(draw(pipelines()))
    path = draw(st.sampled_from(places(data)))
    if not path:
        return draw(JSON)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    change = draw(st.sampled_from(["replace", "remove", "add"]))
    if change == "replace":
        parent[path[-1]] = draw(JSON)
    elif change == "remove":
        del parent[path[-1]]
    elif isinstance(parent, dict):
        parent[draw(st.text(max_size=5))] = draw(JSON)
    else:
        parent.append(draw(JSON))
    return data


STAGES = {"S": StageSpec(stage_name="S", arguments=()), "T": StageSpec(stage_name="T")}
VALIDATOR = jsonschema.Draft202012Validator(pipeline_schema())


def shape_is_right(data: Any) -> bool:
    report = Report()
    report.extend(json_problems(data))
    Walk(report).read(data)
    return not [problem for problem in report.problems() if "already taken" not in problem.message]


@given(ANYTHING | damaged() | pipelines())
def test_validation_never_raises_and_points_into_the_document(data: Any) -> None:
    for problem in validate(data, STAGES):
        assert problem.message
        assert problem.path == "" or problem.path.startswith("/")


@given(pipelines() | damaged())
@settings(max_examples=300)
def test_what_has_no_errors_compiles_and_comes_back_from_its_bytes(data: Any) -> None:
    if any(problem.severity == "error" for problem in validate(data)):
        return
    pipeline = Pipeline.from_dict(data)
    assert Pipeline.trusted(canonical(data)).digest == pipeline.digest
    for node in pipeline.nodes.values():
        if node.id in pipeline._conditions:
            assert len(pipeline.conditions(node.id)) == len(node.conditions)  # type: ignore[union-attr]


@given(pipelines() | damaged() | JSON)
@settings(max_examples=400)
def test_the_schema_and_the_validator_agree_about_the_shape(data: Any) -> None:
    whole = isinstance(data, dict) and not any(
        isinstance(value, float) for path in places(data) for value in [_at(data, path)] if path and path[-1] in COUNTS
    )
    if whole or not isinstance(data, dict):
        assert VALIDATOR.is_valid(data) == shape_is_right(data)


COUNTS = ("max_transitions", "max_concurrency")
"""Where `3.0` is a whole number to JSON Schema and a fraction to us."""


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def test_the_generated_pipelines_are_often_sound() -> None:
    sound = 0

    @given(pipelines())
    @settings(max_examples=200, database=None, derandomize=True)
    def count(data: Any) -> None:
        nonlocal sound
        sound += not any(problem.severity == "error" for problem in validate(data))

    count()
    assert sound > 5


@pytest.mark.parametrize("path", ["a", "a.b", "a.0.b", "$error.type", "payload", " "])
def test_a_path_the_validator_takes_the_schema_takes(path: str) -> None:
    data = {"entry": "a", "nodes": [{"id": "a", "type": "terminal", "artifacts": [path]}]}
    assert VALIDATOR.is_valid(data)
    assert validate(data) == []
