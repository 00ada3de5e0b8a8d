"""Compiling rules: where problems are, what a rule reads, operators of one's own, what conditions see."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es.pipeline import InvalidRule, Operators, check_rule, compile_rule, condition_data


def test_every_problem_of_a_rule_is_found_with_its_pointer() -> None:
    rule = {"and": [{"filtr": [1, 2]}, {"/": [1]}, {"!": {"~x": 1}}, {"var": ["a.__b"]}]}
    problems = {problem.path: problem.message for problem in check_rule(rule, "/if")}
    assert problems == {
        "/if/and/0/filtr": "unknown operator 'filtr'; did you mean 'filter'?",
        "/if/and/1/~1": "`/` takes 2 arguments, here are 1",
        "/if/and/2/!/~0x": "unknown operator '~x'",
        "/if/and/3/var": "a rule may not read 'a.__b': `__` is not allowed in paths",
    }


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"!": []}, "1 argument,"),
        ({"<": [1]}, "2 to 3 arguments"),
        ({"or": []}, "1 or more arguments"),
        ({"map": [[1]]}, "2 arguments"),
        ({"var": ["a", "b", "c"]}, "0 to 2 arguments"),
    ],
)
def test_a_wrong_number_of_arguments_says_how_many_there_may_be(rule: Any, words: str) -> None:
    (problem,) = check_rule(rule)
    assert words in problem.message


def test_compiling_raises_all_problems_at_once() -> None:
    with pytest.raises(InvalidRule) as raised:
        compile_rule({"or": [{"nope": 1}, {"nada": 2}]}, "/x")
    assert [problem.path for problem in raised.value.problems] == ["/x/or/0/nope", "/x/or/1/nada"]


def test_the_variables_of_a_rule_are_the_paths_it_reads_from_its_data() -> None:
    rule = {
        "and": [
            {">": [{"var": "order.total"}, {"var": ["limit", 10]}]},
            {"some": [{"var": "order.lines"}, {"var": "not.from.the.data"}]},
            {"missing": ["a", "b"]},
            {"missing_some": [1, ["c"]]},
        ]
    }
    assert compile_rule(rule).variables == ("order.total", "limit", "order.lines", "a", "b", "c")


def test_a_computed_path_counts_as_reading_everything() -> None:
    assert compile_rule({"var": [{"cat": ["a", "b"]}]}).variables == ("",)


def test_an_operator_of_ones_own_is_known_only_where_it_was_given() -> None:
    operators = Operators().adding("starts_with", lambda text, start: text.startswith(start), least=2, most=2)
    rule = {"starts_with": [{"var": "name"}, "A"]}
    assert compile_rule(rule, operators=operators).truthy({"name": "Ada"}) is True
    assert check_rule(rule)
    assert "2 arguments" in check_rule({"starts_with": [1]}, operators=operators)[0].message


def test_a_condition_sees_the_context_bare_and_under_payload() -> None:
    payload = {"total": 3, "order": {"id": 1}}
    data = condition_data(payload)
    assert compile_rule({"==": [{"var": "total"}, {"var": "payload.total"}]}).truthy(data)
    assert data["order"] is payload["order"]
    assert "payload" not in payload
    assert "$error" not in data


def test_a_condition_of_a_fallback_sees_the_failure() -> None:
    data = condition_data({}, {"type": "Timeout"})
    assert compile_rule({"==": [{"var": "$error.type"}, "Timeout"]}).truthy(data)


@pytest.mark.parametrize("literal", [True, False, 0, "x", None, [], [1]])
def test_a_literal_is_a_rule_that_is_as_true_as_its_value(literal: Any) -> None:
    assert compile_rule(literal).truthy({}) is bool(literal)
