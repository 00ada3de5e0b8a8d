"""Whatever a rule is made of, it compiles or is refused, and gives JSON or a RuleError."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stageflow_es.errors import RuleError
from stageflow_es.pipeline import OPERATORS, check_rule, compile_rule
from tests.costs import ends_soon

LOOPS = ("map", "filter", "reduce", "all", "some", "none")
PATHS = ("", "a", "a.b", "items", "items.0.k", "text", "accumulator", "current", "numbers.1", "deep.0.0")
DATA: dict[str, Any] = {
    "a": {"b": 1},
    "items": [{"k": n} for n in range(500)],
    "text": "ab" * 5_000,
    "numbers": [1e308, -1e308, 2**62, 10**300, 0.1, -0.0],
    "deep": [[[[0]]]],
}

SCALARS = st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*sorted(OPERATORS), "x"]), inner),
    max_leaves=12,
)


def _applied(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    source = st.sampled_from([{"var": path} for path in PATHS]) | st.just(list(range(50))) | inner
    loops = st.builds(lambda name, items, body: {name: [items, body]}, st.sampled_from(LOOPS), source, inner)
    folds = st.builds(lambda items, body, first: {"reduce": [items, body, first]}, source, inner, inner)
    others = st.builds(
        lambda name, arguments: {name: arguments},
        st.sampled_from(sorted(OPERATORS)),
        st.lists(inner, max_size=3),
    )
    return loops | folds | others


RULES = st.recursive(
    SCALARS | st.sampled_from(["", "a", "10", [1, 2]]) | st.sampled_from([{"var": path} for path in PATHS]),
    _applied,
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON)
def test_any_json_is_a_rule_or_is_refused(rule: Any) -> None:
    problems = check_rule(rule)
    if problems:
        assert all(problem.message for problem in problems)
        return
    with suppress(RuleError):
        msgspec.json.encode(compile_rule(rule).evaluate(DATA))


@settings(max_examples=150)
@given(RULES)
def test_whatever_operators_are_put_together_it_ends_soon_with_json_or_a_rule_error(rule: Any) -> None:
    with ends_soon(), suppress(RuleError):
        msgspec.json.encode(compile_rule(rule).evaluate(DATA))
