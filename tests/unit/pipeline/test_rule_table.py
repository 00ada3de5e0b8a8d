"""What JSON Logic rules come to, operator by operator, as their public documentation has it; and where we depart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stageflow_es.errors import RuleError
from stageflow_es.pipeline import OPERATORS, compile_rule

V = {"var": ""}
ORDER = {
    "id": 7,
    "customer": {"name": "Ada", "tags": ["new", "eu"], "phone": None, "note": ""},
    "lines": [{"sku": "a", "qty": 0}, {"sku": "b", "qty": 2}, {"sku": "c", "qty": 5}],
    "paid": False,
}

TABLE: list[tuple[Any, Any, Any]] = [
    # values that are no rules
    (True, None, True),
    (None, None, None),
    ("text", None, "text"),
    (-2.5, None, -2.5),
    ([1, "b", None], None, [1, "b", None]),
    ([{"var": "id"}, "x"], ORDER, [7, "x"]),
    ({"a": 1, "b": {"c": 2}}, None, {"a": 1, "b": {"c": 2}}),
    ({}, None, {}),
    # var
    ({"var": "id"}, ORDER, 7),
    ({"var": ["id"]}, ORDER, 7),
    ({"var": "customer.name"}, ORDER, "Ada"),
    ({"var": "customer.tags.1"}, ORDER, "eu"),
    ({"var": "lines.2.qty"}, ORDER, 5),
    ({"var": "lines.3.qty"}, ORDER, None),
    ({"var": "lines.-1.qty"}, ORDER, None),
    ({"var": "lines.01.qty"}, ORDER, None),
    ({"var": "customer.name.first"}, ORDER, None),
    ({"var": ["nothing", "default"]}, ORDER, "default"),
    ({"var": ["customer.age", {"var": "id"}]}, ORDER, 7),
    ({"var": ["customer.phone", "default"]}, ORDER, None),
    ({"var": ["paid", True]}, ORDER, False),
    ({"var": "x"}, None, None),
    ({"var": ["x", 3]}, None, 3),
    ({"var": ""}, [1, 2], [1, 2]),
    ({"var": None}, 5, 5),
    ({"var": []}, "all", "all"),
    ({"var": 1}, ["a", "b"], "b"),
    ({"var": "0.1"}, [["x", "y"]], "y"),
    ({"var": [{"if": [{"var": "paid"}, "id", "customer.name"]}]}, ORDER, "Ada"),
    # missing, missing_some
    ({"missing": ["id", "total"]}, ORDER, ["total"]),
    ({"missing": "total"}, ORDER, ["total"]),
    ({"missing": []}, ORDER, []),
    ({"missing": ["customer.phone", "customer.note", "paid"]}, ORDER, ["customer.phone", "customer.note"]),
    ({"missing": {"merge": [["id"], ["x", "y"]]}}, ORDER, ["x", "y"]),
    ({"missing": ["a", "a"]}, None, ["a", "a"]),
    ({"missing_some": [1, ["id", "total"]]}, ORDER, []),
    ({"missing_some": [2, ["id", "total", "vat"]]}, ORDER, ["total", "vat"]),
    ({"missing_some": [0, ["total"]]}, ORDER, []),
    # if and its other spelling
    ({"if": []}, None, None),
    ({"if": ["only"]}, None, "only"),
    ({"if": [True, "yes"]}, None, "yes"),
    ({"if": [False, "yes"]}, None, None),
    ({"if": [False, 1, True, 2, 3]}, None, 2),
    ({"if": [False, 1, False, 2, 3]}, None, 3),
    ({"if": [{"missing": "id"}, "no id", "fine"]}, ORDER, "fine"),
    ({"?:": [0, "then", "else"]}, None, "else"),
    # truth
    ({"!!": [[]]}, None, False),
    ({"!!": [[0]]}, None, True),
    ({"!!": [""]}, None, False),
    ({"!!": ["0"]}, None, True),
    ({"!!": [0]}, None, False),
    ({"!!": [0.0]}, None, False),
    ({"!!": [-1]}, None, True),
    ({"!!": [None]}, None, False),
    ({"!!": [{"var": "o"}]}, {"o": {}}, True),
    ({"!": [[]]}, None, True),
    ({"!": "x"}, None, False),
    # and, or give operands, not booleans
    ({"and": [1, "x", [2]]}, None, [2]),
    ({"and": [1, 0, {"/": [1, 0]}]}, None, 0),
    ({"and": [[], True]}, None, []),
    ({"or": [0, "", "x", {"/": [1, 0]}]}, None, "x"),
    ({"or": [0, None, []]}, None, []),
    # equality
    ({"==": [1, 1.0]}, None, True),
    ({"==": [1, "1"]}, None, True),
    ({"==": [1, "1.0"]}, None, True),
    ({"==": ["1", "1.0"]}, None, False),
    ({"==": [0, ""]}, None, True),
    ({"==": [0, " "]}, None, True),
    ({"==": [0, "zero"]}, None, False),
    ({"==": [None, 0]}, None, False),
    ({"==": [None, False]}, None, False),
    ({"==": [None, None]}, None, True),
    ({"==": [None, "None"]}, None, False),
    ({"==": [True, 1]}, None, True),
    ({"==": [True, "1"]}, None, True),
    ({"==": [True, "True"]}, None, False),
    ({"==": [[5], 5]}, None, True),
    ({"==": [["a", "b"], "a,b"]}, None, True),
    ({"==": [{"var": "customer"}, "Ada"]}, ORDER, False),
    ({"!=": [1, "1"]}, None, False),
    ({"!=": [1, 2]}, None, True),
    ({"===": [1, 1.0]}, None, True),
    ({"===": [1, "1"]}, None, False),
    ({"===": [1, True]}, None, False),
    ({"===": [0, False]}, None, False),
    ({"===": ["a", "a"]}, None, True),
    ({"!==": [1, "1"]}, None, True),
    # order
    ({"<": [1, 2]}, None, True),
    ({"<": [2, 2]}, None, False),
    ({"<": ["9", 10]}, None, True),
    ({"<": ["9", "10"]}, None, False),
    ({"<": ["a", "b"]}, None, True),
    ({"<": ["a", 1]}, None, False),
    ({">=": ["a", 1]}, None, False),
    ({"<": [None, 1]}, None, True),
    ({"<": [False, True]}, None, True),
    ({"<=": [2, 2]}, None, True),
    ({"<": [1, 2, 3]}, None, True),
    ({"<": [1, 3, 3]}, None, False),
    ({"<=": [1, 3, 3]}, None, True),
    ({">": [3, "2"]}, None, True),
    ({">=": [2, 2]}, None, True),
    ({">": [{"var": "customer"}, 0]}, ORDER, False),
    # arithmetic
    ({"+": [1, 2, 3.5]}, None, 6.5),
    ({"+": "3.25"}, None, 3.25),
    ({"+": ["-4", 1]}, None, -3),
    ({"+": []}, None, 0),
    ({"+": [" 12 "]}, None, 12),
    ({"+": ["1e3"]}, None, 1000),
    ({"-": [5, 2]}, None, 3),
    ({"-": 5}, None, -5),
    ({"-": ["5", None]}, None, 5),
    ({"*": [2, 3, 4]}, None, 24),
    ({"*": [0.5, "3"]}, None, 1.5),
    ({"/": [9, 3]}, None, 3),
    ({"/": [1, 4]}, None, 0.25),
    ({"%": [7, 3]}, None, 1),
    ({"%": [-7, 3]}, None, -1),
    ({"%": [7, -3]}, None, 1),
    ({"%": [5.5, 2]}, None, 1.5),
    ({"min": [3, 1, 2]}, None, 1),
    ({"max": [3, "10", 2]}, None, 10),
    ({"max": [True]}, None, 1),
    ({"*": [3037000500, 3037000500]}, None, 9223372037000250000.0),
    # texts
    ({"cat": ["a", 1, 1.0, 2.5, True, None, "z"]}, None, "a112.5truez"),
    ({"cat": [[1, [2, None]], "!"]}, None, "1,2,!"),
    ({"cat": 1e21}, None, "1e+21"),
    ({"cat": [1e-7]}, None, "1e-7"),
    ({"cat": [0.00001]}, None, "0.00001"),
    ({"cat": []}, None, ""),
    ({"substr": ["stageflow", 5]}, None, "flow"),
    ({"substr": ["stageflow", -4]}, None, "flow"),
    ({"substr": ["stageflow", 0, 5]}, None, "stage"),
    ({"substr": ["stageflow", 2, -4]}, None, "age"),
    ({"substr": ["stageflow", -4, 2]}, None, "fl"),
    ({"substr": [12345, 1, 2]}, None, "23"),
    ({"substr": ["ab", 0, 0]}, None, ""),
    ({"in": ["flow", "stageflow"]}, None, True),
    ({"in": [2, "1234"]}, None, True),
    ({"in": [{"var": "customer"}, "text"]}, ORDER, False),
    # lists
    ({"in": ["eu", {"var": "customer.tags"}]}, ORDER, True),
    ({"in": [1, ["1", True]]}, None, False),
    ({"in": [1, [1.0]]}, None, True),
    ({"in": ["name", {"var": "customer"}]}, ORDER, False),
    ({"in": ["x", None]}, None, False),
    ({"merge": [[1], 2, [[3]], []]}, None, [1, 2, [3]]),
    ({"merge": "x"}, None, ["x"]),
    ({"merge": []}, None, []),
    ({"map": [[0, 1, 2], V]}, None, [0, 1, 2]),
    ({"map": [[None, "", False, []], V]}, None, [None, "", False, []]),
    ({"map": [{"var": "lines"}, {"var": "qty"}]}, ORDER, [0, 2, 5]),
    ({"map": [{"var": "lines"}, {"var": "id"}]}, ORDER, [None, None, None]),
    ({"map": [{"var": "nothing"}, V]}, ORDER, []),
    ({"map": [[0, 1], {"+": [V, 1]}]}, None, [1, 2]),
    ({"filter": [[0, 1, 2, 3], {"%": [V, 2]}]}, None, [1, 3]),
    ({"filter": [[0, 1, None], {"==": [V, 0]}]}, None, [0]),
    ({"filter": ["text", True]}, None, []),
    ({"reduce": [[1, 2, 3], {"+": [{"var": "accumulator"}, {"var": "current"}]}, 10]}, None, 16),
    ({"reduce": [[], V, 4]}, None, 4),
    ({"reduce": [{"var": "nothing"}, V, 4]}, ORDER, 4),
    ({"reduce": [[0], {"var": "current"}, 9]}, None, 0),
    ({"reduce": [[1], {"var": "accumulator"}]}, None, None),
    ({"all": [[1, 2], {">": [V, 0]}]}, None, True),
    ({"all": [[1, 0], V]}, None, False),
    ({"all": [[], True]}, None, False),
    ({"some": [[0, 3], {">": [V, 2]}]}, None, True),
    ({"some": [[], True]}, None, False),
    ({"none": [[0, ""], V]}, None, True),
    ({"none": [[], False]}, None, True),
    ({"some": [{"var": "lines"}, {"all": [[1, 2], {"<": [V, 3]}]}]}, ORDER, True),
    # log gives its argument
    ({"log": ["x"]}, None, "x"),
]

DEPARTURES: list[tuple[Any, Any, Any, str]] = [
    ({"==": [{"var": "a"}, {"var": "b"}]}, {"a": {"x": [1]}, "b": {"x": [1]}}, True, "values have no identity in JSON"),
    ({"in": [[1], [[1], [2]]]}, None, True, "values have no identity in JSON"),
    ({">": [3, 2, 1]}, None, True, "`>` chains as `<` does; JavaScript ignores the third argument"),
    ({">": [3, 2, 2]}, None, False, "`>` chains as `<` does; JavaScript ignores the third argument"),
    ({"var": "customer.tags.length"}, ORDER, None, "only what is in the JSON is data"),
    ({"var": "customer.name.0"}, ORDER, None, "a text has no items"),
]

ERRORS: list[tuple[Any, Any, str]] = [
    ({"/": [1, 0]}, None, "`/` by zero"),
    ({"%": [1, 0]}, None, "`%` by zero"),
    ({"+": ["3px"]}, None, "`+` needs numbers, not '3px'"),
    ({"+": [{"var": "x"}, 1]}, None, "`+` needs numbers, not null"),
    ({"*": [True, 1]}, None, "`*` needs numbers, not a boolean"),
    ({"-": [{"var": ""}, 1]}, {}, "`-` needs numbers, not an object"),
    ({"max": [[1, 2]]}, None, "`max` needs numbers, not a list"),
    ({"*": [1e200, 1e200]}, None, "too large for a number"),
    ({"-": ["1e999", 0]}, None, "needs numbers"),
    ({"cat": [{"var": ""}]}, {}, "an object cannot be made a text"),
    ({"substr": ["abc", "x"]}, None, "`substr` needs numbers"),
    ({"missing_some": ["x", ["a"]]}, None, "`missing_some` needs a number and a list"),
    ({"missing_some": [1, {"var": "x"}]}, None, "`missing_some` needs a number and a list"),
    ({"var": [{"merge": [1, 2]}]}, None, "a path is a text or an index"),
]


@pytest.mark.parametrize(("rule", "data", "expected"), TABLE, ids=lambda value: json.dumps(value)[:60])
def test_a_rule_means_what_json_logic_documents(rule: Any, data: Any, expected: Any) -> None:
    value = compile_rule(rule).evaluate(data)
    assert json.dumps(value) == json.dumps(expected)


@pytest.mark.parametrize(("rule", "data", "expected", "reason"), DEPARTURES)
def test_a_rule_departs_from_the_table_only_where_that_is_meant(
    rule: Any, data: Any, expected: Any, reason: str
) -> None:
    assert compile_rule(rule).evaluate(data) == expected, reason


@pytest.mark.parametrize(("rule", "data", "message"), ERRORS, ids=lambda value: str(value)[:40])
def test_what_has_no_json_value_is_a_typed_error(rule: Any, data: Any, message: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_rule(rule).evaluate(data)
    assert message in str(raised.value)


def test_the_table_covers_every_operator() -> None:
    def operators(rule: Any) -> set[str]:
        if isinstance(rule, list):
            return set().union(*map(operators, rule))
        if isinstance(rule, dict):
            return set(rule).union(*map(operators, rule.values()))
        return set()

    assert operators([rule for rule, _, _ in TABLE]) >= OPERATORS


def test_a_whole_number_stays_one_and_a_fraction_is_not_rounded() -> None:
    assert type(compile_rule({"+": [1, 1.0]}).evaluate(None)) is int
    assert compile_rule({"+": [0.1, 0.2]}).evaluate(None) == 0.1 + 0.2
