"""How large, how deep and how wrong a definition may be, and what is no JSON at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from stageflow_es.errors import Problem
from stageflow_es.pipeline import fields, validate
from stageflow_es.pipeline.calls import MAX_CALLS
from stageflow_es.pipeline.document import MAX_NESTING, MAX_NODES
from stageflow_es.pipeline.plain import MAX_BYTES
from stageflow_es.pipeline.report import MAX_PROBLEMS
from tests.unit.pipeline.documents import END, STAGES, document, errors, runs


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


@pytest.mark.parametrize(
    "node",
    [
        {"id": "end", "type": "terminal", "artifacts": [1] * 100_000},
        {"id": "end", "type": "parallel", "children": [1] * 100_000},
        {"id": "end", "type": "stage", "stage": "Any", "outputs": {str(n): 1 for n in range(100_000)}},
    ],
    ids=["list", "children", "object"],
)
def test_no_more_mistakes_are_looked_for_than_are_told(node: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[object] = []
    monkeypatch.setattr(fields, "kind_of", lambda value: said.append(value) or "a number")
    assert len(errors(document(node))) == MAX_PROBLEMS + 1
    assert len(said) == MAX_PROBLEMS + 1


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
