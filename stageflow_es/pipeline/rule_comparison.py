"""Equality and order of JSON values as rules see them: JavaScript's coercion around a plain comparison given here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from stageflow_es.pipeline.rule_limits import Budget
from stageflow_es.pipeline.rule_values import NOTHING, number, text

Compare = Callable[[Any, Any], bool]

_NUMBERS: Final = frozenset((int, float))


def strictly_equal(a: Any, b: Any, budget: Budget, equal: Compare) -> bool:
    """Whether two values are equal, lists and objects by what is in them and scalars as `equal` says."""
    pending = [(a, b)]
    while pending:
        a, b = pending.pop()
        budget.work()
        if isinstance(a, dict) and isinstance(b, dict):
            if len(a) != len(b):
                return False
            budget.work(len(a))
            if a.keys() != b.keys():
                return False
            pending.extend((item, b[key]) for key, item in a.items())
        elif isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            budget.work(len(a))
            pending.extend(zip(a, b, strict=True))
        elif isinstance(a, (dict, list)) or isinstance(b, (dict, list)) or not _scalars_equal(a, b, budget, equal):
            return False
    return True


def _scalars_equal(a: Any, b: Any, budget: Budget, equal: Compare) -> bool:
    if isinstance(a, str) and isinstance(b, str) and len(a) == len(b):
        budget.read(a)
    return equal(a, b)


def loosely_equal(a: Any, b: Any, budget: Budget, equal: Compare) -> bool:
    """Whether two values are equal once they are made the same type."""
    if a is None or b is None:
        return a is b
    if type(a) is type(b):
        return strictly_equal(a, b, budget, equal)
    a, b = _primitive(a, budget), _primitive(b, budget)
    if isinstance(a, dict) or isinstance(b, dict):
        return False
    if not (isinstance(a, str) and isinstance(b, str)):
        a, b = number(a, budget), number(b, budget)
    return a is not NOTHING and b is not NOTHING and strictly_equal(a, b, budget, equal)


def ordered(a: Any, b: Any, budget: Budget, compare: Compare) -> bool:
    """Whether `compare` holds for two values: as texts if both are, else as numbers; false where one is no number."""
    if type(a) in _NUMBERS and type(b) in _NUMBERS:
        return compare(a, b)
    a, b = _primitive(a, budget), _primitive(b, budget)
    if isinstance(a, str) and isinstance(b, str):
        budget.read(min(a, b, key=len))
        return compare(a, b)
    a, b = number(a, budget), number(b, budget)
    return a is not NOTHING and b is not NOTHING and compare(a, b)


def _primitive(value: Any, budget: Budget) -> Any:
    return text(value, budget) if isinstance(value, list) else value
