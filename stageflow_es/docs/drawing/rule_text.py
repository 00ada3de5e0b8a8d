"""A JSON Logic rule in the words of a formula: `order.total < 100 and customer.score >= 50`."""

from __future__ import annotations

from typing import Any

import msgspec

_INFIX = {
    "==": "=",
    "===": "=",
    "!=": "≠",
    "!==": "≠",
    "<": "<",
    ">": ">",
    "<=": "≤",
    ">=": "≥",
    "and": "and",
    "or": "or",
    "in": "in",
    "+": "+",
    "-": "-",
    "*": "x",
    "/": "/",
    "%": "mod",
}
_DEEP = 40


def rule_text(rule: Any, depth: int = 0) -> str:
    """The rule for people. It says what the rule says, in fewer signs; what has no short form stays a call."""
    if isinstance(rule, list):
        return f"[{', '.join(rule_text(item, depth + 1) for item in rule)}]" if depth < _DEEP else "[…]"
    if not isinstance(rule, dict) or len(rule) != 1 or depth >= _DEEP:
        return "…" if depth >= _DEEP and isinstance(rule, dict) else msgspec.json.encode(rule).decode()
    ((operator, given),) = rule.items()
    arguments = given if isinstance(given, list) else [given]
    if operator == "var":
        return _variable(arguments, depth)
    if operator in ("!", "!!") and len(arguments) == 1:
        inner = _inner(arguments[0], depth)
        return f"not {inner}" if operator == "!" else inner
    if operator in _INFIX and len(arguments) > 1:
        return f" {_INFIX[operator]} ".join(_inner(argument, depth) for argument in arguments)
    return f"{operator}({', '.join(rule_text(argument, depth + 1) for argument in arguments)})"


def _variable(arguments: list[Any], depth: int) -> str:
    path = arguments[0] if arguments else ""
    if isinstance(path, dict):
        return f"var({rule_text(path, depth + 1)})"
    name = str(path) if path not in ("", None) else "all of it"
    return name if len(arguments) < 2 else f"({name} else {rule_text(arguments[1], depth + 1)})"


def _inner(argument: Any, depth: int) -> str:
    """An operand, in parentheses where it is a formula of its own."""
    text = rule_text(argument, depth + 1)
    compound = (
        isinstance(argument, dict) and len(argument) == 1 and next(iter(argument)) in ("and", "or", "+", "-", "*", "/")
    )
    return f"({text})" if compound and isinstance(next(iter(argument.values())), list) else text
