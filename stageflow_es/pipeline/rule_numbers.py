"""The operands and results of arithmetic in rules: JSON numbers, or a RuleError that says why not."""

from __future__ import annotations

from math import isfinite
from typing import Any

from stageflow_es.errors import RuleError
from stageflow_es.pipeline.pointers import kind_of, shown
from stageflow_es.pipeline.rule_limits import Budget
from stageflow_es.pipeline.rule_values import LARGEST, NOTHING, number


def operands(name: str, values: list[Any], budget: Budget) -> list[Any]:
    """The numbers the arguments of the operator `name` stand for. Raises RuleError where one stands for none."""
    budget.work(len(values))
    found = []
    for value in values:
        if type(value) is float or (type(value) is int and -LARGEST <= value < LARGEST):
            found.append(value)
            continue
        wrong = name in ("+", "*") and (value is None or isinstance(value, bool))
        operand = NOTHING if wrong or isinstance(value, (list, dict)) else number(value, budget)
        if operand is NOTHING:
            what = shown(value) if isinstance(value, str) else kind_of(value)
            raise RuleError(f"`{name}` needs numbers, not {what}")
        found.append(operand)
    return found


def settled(name: str, result: Any) -> Any:
    """A result as JSON can hold it: whole numbers within 64 bits, others as doubles. Raises RuleError beyond those."""
    if isinstance(result, int) and -LARGEST <= result < LARGEST:
        return result
    try:
        result = float(result)
    except OverflowError:
        result = float("inf")
    if not isfinite(result):
        raise RuleError(f"the result of `{name}` is too large for a number")
    return result
