"""Nobody who can write a rule, or the data it reads, can run code, hang an engine or fill its memory."""

from __future__ import annotations

import ast
import logging
import tracemalloc
from pathlib import Path
from typing import Any

import json_logic
import pytest

import stageflow_es
from stageflow_es.errors import RuleError
from stageflow_es.pipeline import InvalidRule, Operators, check_rule, compile_rule
from stageflow_es.pipeline.rule_limits import MAX_BYTES, MAX_DEPTH, MAX_PARTS, MAX_STEPS, Budget
from tests.costs import ends_soon

V = {"var": ""}
MEMORY_BYTES = 16 * 1024 * 1024


def nested(levels: int, wrap: Any, core: Any) -> Any:
    for _ in range(levels):
        core = wrap(core)
    return core


def accumulate(step: Any, start: Any, times: int = 4000) -> Any:
    return {"reduce": [list(range(times)), step, start]}


ACC = {"var": "accumulator"}

REFUSED: dict[str, Any] = {
    "method": {"method": ["x", "upper"]},
    "method on a class": {"method": [{"method": ["", "__class__"]}, "mro"]},
    "method deep inside": {"if": [True, {"map": [[1], {"method": [V, "real"]}]}]},
    "method beside other keys": {"method": ["x", "upper"], "x": 1},
    "dotted operator": {"str.upper": ["x"]},
    "dotted dunder": {"var.__globals__.get": ["x"]},
    "dotted index": {"0.real": []},
    "dunder operator": {"__class__": []},
    "count": {"count": [1, 2]},
    "unknown operator": {"eval": ["1"]},
    "empty operator": {"": [1]},
    "dunder path": {"var": "a.__class__"},
    "dunder in missing": {"missing": ["a", "__dict__"]},
    "dunder in missing_some": {"missing_some": [1, ["__init__"]]},
    "two operators at once": {"==": [1, 1], "or": [True]},
    "too deep": nested(MAX_DEPTH + 1, lambda rule: {"!": [rule]}, True),
    "far too deep": nested(100_000, lambda rule: [rule], 1),
    "too many parts": {"and": [True] * (MAX_PARTS + 1)},
    "far too many parts": {"if": [False, 1] * 500_000},
    "far too many paths": {"missing": ["a.__b"] * 500_000},
    "far too many items": {"in": [1, [1] * 1_000_000]},
    "far too many keys": {"in": [1, {str(i): i for i in range(200_000)}]},
    "squaring written out": nested(24, lambda rule: {"*": [rule, rule]}, 10),
    "too much text": {"cat": ["x" * 70_000]},
    "huge number": {"+": [10**400, 1]},
    "huge index": {"var": 10**400},
    "a path that is no number": {"var": float("inf")},
    "not a number": {"+": [float("nan")]},
    "not JSON": {"cat": [object()]},
    "not JSON inside a literal": {"a": 1, "b": {1, 2}},
    "a key that is no text": {1: [2]},
}

MANY = {f"key{i}": 1 for i in range(100_000)}

STOPPED: dict[str, tuple[Any, Any]] = {
    "squaring": (accumulate({"*": [ACC, ACC]}, 10), None),
    "doubling a text": (accumulate({"cat": [ACC, ACC]}, "x"), None),
    "doubling a wide text": (accumulate({"cat": [ACC, ACC]}, "\U0001f600"), None),
    "doubling a list": (accumulate({"merge": [ACC, ACC]}, [1]), None),
    "doubling by reference": (accumulate([ACC, ACC], 1), None),
    "doubling by reference, shallow": (accumulate([ACC] * 8, 1, 10), None),
    "a tree of shared lists": (accumulate([ACC, ACC], 1, 40), None),
    "nested maps": (nested(30, lambda rule: {"map": [list(range(50)), rule]}, V), None),
    "nested reduces": (nested(30, lambda rule: {"reduce": [list(range(50)), rule, 0]}, 1), None),
    "nested some": (nested(20, lambda rule: {"some": [list(range(50)), {"!": rule}]}, True), None),
    "a loop over much data": ({"none": [{"var": "l"}, {"<": [V, 0]}]}, {"l": list(range(10**6))}),
    "a search in much data": ({"in": ["x", {"var": "l"}]}, {"l": list(range(10**6))}),
    "a search in a long text, often": (
        {"map": [{"var": "l"}, {"in": ["aaab", "a" * 60_000]}]},
        {"l": list(range(10**5))},
    ),
    "joining much data": ({"cat": [{"var": "l"}]}, {"l": [2**62] * 10**6}),
    "joining nested data": ({"cat": [{"var": "l"}]}, {"l": nested(5000, lambda value: [value], 1)}),
    "cutting a long text, often": (
        {"map": [{"var": "l"}, {"substr": ["x" * 60_000, 1]}]},
        {"l": list(range(10**5))},
    ),
    "parsing a long number, often": ({"some": [{"var": "l"}, {"==": [1, "1" * 60_000]}]}, {"l": [0] * 10**5}),
    "many constants, often": ({"some": [{"var": "l"}, {">": [0, {"+": [1] * 4000}]}]}, {"l": [0] * 10**5}),
    "comparing large values, often": (
        {"all": [{"var": "l"}, {"==": [{"var": "a"}, {"var": "b"}]}]},
        {"l": [{"a": list(range(5000)), "b": list(range(5000))}] * 1000},
    ),
    "a long path, often": ({"some": [{"var": "l"}, {"var": ".".join("0" * 250)}]}, {"l": [{"0": 0}] * 10**5}),
    "a computed path that is too long": ({"var": [{"cat": ["a." * 300]}]}, {}),
    "a computed dunder path": ({"var": [{"cat": ["_", "_class_", "_"]}]}, {}),
    "a computed dunder in missing": ({"missing": {"var": "names"}}, {"names": ["__class__"]}),
    "missing in much data": ({"missing": {"var": "names"}}, {"names": ["a"] * 10**6}),
    "returning nested data": ({"var": "l"}, {"l": nested(5000, lambda value: [value], 1)}),
    "huge numbers in the data": (
        {"map": [{"var": "l"}, {"cat": [{"var": ""}, {"+": [{"var": ""}, 1]}]}]},
        {"l": [10**300] * 10**5},
    ),
    "numbers beyond a double in the data": ({"cat": [{"var": "n"}]}, {"n": 10**4000}),
    "comparing the keys of large objects, often": (
        accumulate({"if": [{"==": [{"var": "accumulator.a"}, {"var": "accumulator.b"}]}, ACC, ACC]}, V),
        {"a": {**MANY, "x": 1}, "b": {**MANY, "y": 1}},
    ),
    "results that are no JSON": ({"*": [1e308, 10]}, None),
}


@pytest.mark.parametrize("rule", REFUSED.values(), ids=REFUSED)
def test_a_rule_that_reaches_for_more_is_refused_before_it_runs(rule: Any) -> None:
    with ends_soon():
        assert check_rule(rule)
        with pytest.raises(InvalidRule):
            compile_rule(rule)


@pytest.mark.parametrize(("rule", "data"), STOPPED.values(), ids=STOPPED)
def test_a_rule_that_costs_too_much_is_stopped(rule: Any, data: Any) -> None:
    compiled = compile_rule(rule)
    with ends_soon(), pytest.raises(RuleError):
        compiled.evaluate(data)


@pytest.mark.parametrize(("rule", "data"), STOPPED.values(), ids=STOPPED)
def test_a_rule_that_is_stopped_had_little_memory(rule: Any, data: Any) -> None:
    compiled = compile_rule(rule)
    tracemalloc.start()
    try:
        with pytest.raises(RuleError):
            compiled.evaluate(data)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("limit", ["steps", "bytes"])
def test_a_budget_ends_exactly_where_it_is_spent(limit: str) -> None:
    budget = Budget(steps=3, bytes=3 * 64)
    spend = budget.work if limit == "steps" else lambda: budget.make_list(0)
    for _ in range(3):
        spend()
    with pytest.raises(RuleError, match=limit):
        spend()


def test_each_evaluation_has_a_budget_of_its_own() -> None:
    rule = compile_rule({"none": [{"var": "l"}, {"<": [V, 0]}]})
    data = {"l": list(range(MAX_STEPS // 5))}
    assert [rule.truthy(data) for _ in range(4)] == [True] * 4


def test_a_condition_over_ten_thousand_items_is_within_the_limits() -> None:
    rule = compile_rule({"some": [{"var": "lines"}, {">": [{"var": "qty"}, 10_000]}]})
    assert rule.truthy({"lines": [{"qty": n} for n in range(10_000)]}) is False


def test_values_in_the_data_are_never_rules() -> None:
    poison = {"method": ["x", "upper"]}
    for rule in ({"var": "a"}, {"if": [True, {"var": "a"}]}, {"or": [0, {"var": "a"}]}, {"merge": [{"var": "a"}]}):
        value = compile_rule(rule).evaluate({"a": poison})
        assert value in (poison, [poison])


def test_a_result_belongs_to_the_caller() -> None:
    data: dict[str, Any] = {"a": {"b": [1]}}
    rule = compile_rule({"if": [True, {"var": "a"}, [1]]})
    rule.evaluate(data)["b"].append(2)
    assert data == {"a": {"b": [1]}}

    literal = compile_rule([1, [2]])
    literal.evaluate(None)[1].append(3)
    assert literal.evaluate(None) == [1, [2]]


def test_operators_registered_with_the_library_do_not_reach_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(json_logic.operations, "pwn", lambda: "pwned")
    monkeypatch.setitem(json_logic.operations, "cat", lambda *args: "pwned")
    assert check_rule({"pwn": []})
    assert compile_rule({"cat": ["a"]}).evaluate(None) == "a"


def test_log_prints_nothing(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        compile_rule({"log": "secret"}).evaluate(None)
    assert not caplog.records
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["method", "a.b", "__x", "x__y", "if", "==", "", "1a"])
def test_an_operator_of_ones_own_cannot_take_a_name_it_may_not_have(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name an operator"):
        Operators().adding(name, len, least=1, most=1)


def test_whatever_goes_wrong_in_an_evaluation_is_a_rule_error() -> None:
    def broken(value: Any) -> Any:
        raise OSError(value)

    operators = Operators().adding("broken", broken, least=1, most=1)
    with pytest.raises(RuleError, match="OSError"):
        compile_rule({"broken": "x"}, operators=operators).evaluate(None)
    with pytest.raises(RuleError):
        compile_rule({"+": [{"var": "x"}, 1]}).evaluate({"x": object()})


def test_one_file_imports_the_library() -> None:
    package = Path(stageflow_es.__file__).parent
    importing = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(name.name.startswith("json_logic") for name in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("json_logic"))
    ]
    assert importing == ["pipeline/rules.py"]


def test_what_one_evaluation_may_make_leaves_room_for_the_rest() -> None:
    assert MAX_BYTES * 2 < MEMORY_BYTES
