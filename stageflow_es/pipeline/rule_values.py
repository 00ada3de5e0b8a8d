"""What JSON values mean to a rule: as a truth, a number, a text, and what lies at a path in them.

JSON Logic is defined by what JavaScript does with its operands, so this is JavaScript's coercion for JSON values, with
the one exception the JSON Logic documentation makes: an empty list is falsy.
"""

from __future__ import annotations

import re
from decimal import Decimal
from math import isfinite
from typing import Any, Final

from stageflow_es.errors import RuleError
from stageflow_es.pipeline.rule_limits import DIGITS_PER_STEP, FRACTION, JOIN, LARGE_INTEGER, PARSE, Budget

MAX_TEXT_NESTING: Final = 32
MAX_RESULT_DEPTH: Final = 128
LARGEST: Final = 2**63
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INDEX = re.compile(r"0|[1-9][0-9]{0,18}")


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final[Any] = _Nothing()
"""There is no such value: no number in a text, nothing at a path."""


def truth(value: Any) -> bool:
    """JSON Logic's truth: null, false, 0, "" and [] are falsy; all else is truthy, "0" and {} too."""
    return bool(value) or isinstance(value, dict)


def lookup(value: Any, path: str) -> Any:
    """The value at a dotted path below `value`, or NOTHING. Only objects and lists are looked into."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part, NOTHING)
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            return NOTHING
    return value


def number(value: Any, budget: Budget) -> Any:
    """The number a value stands for, or NOTHING where JavaScript has NaN."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value if -LARGEST <= value < LARGEST else _double(value, budget)
    if isinstance(value, float):
        return value
    if value is None:
        return 0
    if isinstance(value, list):
        value = text(value, budget)
    return _parsed(value, budget) if isinstance(value, str) else NOTHING


def _double(value: int, budget: Budget) -> Any:
    budget.work(LARGE_INTEGER)
    try:
        return float(value)
    except OverflowError:
        return NOTHING


def _parsed(source: str, budget: Budget) -> Any:
    budget.work(PARSE + len(source) // DIGITS_PER_STEP)
    source = source.strip()
    if not source:
        return 0
    if not _NUMBER.fullmatch(source):
        return NOTHING
    value = float(source)
    if value.is_integer() and abs(value) < LARGEST:
        return int(source) if source.lstrip("+-").isdecimal() and len(source) < 20 else int(value)
    return value if isfinite(value) else NOTHING


def text(value: Any, budget: Budget, depth: int = 0) -> str:
    """The text JavaScript makes of a value: `true`, `1.5`, a list's items joined by commas. Raises RuleError for
    an object, whose text there says nothing about it."""
    match value:
        case str():
            return value
        case None:
            return "null" if depth == 0 else ""
        case bool():
            return "true" if value else "false"
        case int() if -LARGEST <= value < LARGEST:
            return str(value)
        case int():
            double = _double(value, budget)
            if double is NOTHING:
                raise RuleError("a number beyond a double cannot be made a text")
            return _decimal(double)
        case float():
            budget.work(FRACTION)
            return _decimal(value)
        case list() if depth < MAX_TEXT_NESTING:
            return joined(value, ",", budget, depth + 1)
        case _:
            what = "an object" if isinstance(value, dict) else "a list nested this deep"
            raise RuleError(f"{what} cannot be made a text")


def joined(values: list[Any] | tuple[Any, ...], separator: str, budget: Budget, depth: int = 1) -> str:
    """The texts of values, joined; null is the empty text, as in JavaScript's join."""
    budget.work(JOIN + len(values))
    parts = [text(value, budget, depth) for value in values]
    budget.make_list(len(parts))
    budget.make_text(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _decimal(value: float) -> str:
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    if 1e-6 <= abs(value) < 1e21:
        return format(Decimal(repr(value)), "f")
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent):+d}" if exponent else mantissa


def copied(value: Any, budget: Budget, depth: int = 0) -> Any:
    """A copy of a result, paid for: values shared inside a result can make it far larger written than in memory."""
    if not isinstance(value, (dict, list)):
        return value
    if depth > MAX_RESULT_DEPTH:
        raise RuleError(f"the value of a rule may be nested {MAX_RESULT_DEPTH} levels deep at most")
    budget.work(1 + len(value))
    budget.make_list(len(value))
    if isinstance(value, list):
        return [copied(item, budget, depth + 1) for item in value]
    return {key: copied(item, budget, depth + 1) for key, item in value.items()}
