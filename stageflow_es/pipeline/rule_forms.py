"""The operators that decide themselves what to evaluate, and where: control flow, data access, and the loops.

They are ours and not the library's, because the library would evaluate the values it finds in the data a second time,
as rules, and would take a falsy item for no data at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stageflow_es.errors import RuleError
from stageflow_es.pipeline.rule_compiler import Evaluator, Form, Literal, path_problem
from stageflow_es.pipeline.rule_limits import PATH_PER_STEP, Budget
from stageflow_es.pipeline.rule_values import NOTHING, lookup, number, text, truth


def _if(parts: list[Evaluator]) -> Evaluator:
    pairs = list(zip(parts[0:-1:2], parts[1::2], strict=False))
    otherwise = parts[-1] if len(parts) % 2 else Literal(None)

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        for condition, consequence in pairs:
            if truth(condition(data, budget)):
                return consequence(data, budget)
        return otherwise(data, budget)

    return evaluate


def _and(parts: list[Evaluator]) -> Evaluator:
    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        value = None
        for part in parts:
            value = part(data, budget)
            if not truth(value):
                break
        return value

    return evaluate


def _or(parts: list[Evaluator]) -> Evaluator:
    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        value = None
        for part in parts:
            value = part(data, budget)
            if truth(value):
                break
        return value

    return evaluate


def _path(value: Any, budget: Budget) -> str:
    """A path as text. Raises RuleError where it may not be read."""
    if value is None:
        return ""
    if isinstance(value, (bool, list, dict)):
        raise RuleError("a path is a text or an index")
    path = text(value, budget)
    budget.work(1 + len(path) // PATH_PER_STEP)
    problem = path_problem(path)
    if problem:
        raise RuleError(problem)
    return path


def _var(parts: list[Evaluator]) -> Evaluator:
    name = parts[0] if parts else Literal("")
    default = parts[1] if len(parts) > 1 else Literal(None)
    fixed = _path(name.value, Budget()) if isinstance(name, Literal) else None
    cost = 1 + len(fixed or "") // PATH_PER_STEP

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work(cost)
        path = _path(name(data, budget), budget) if fixed is None else fixed
        value = lookup(data, path) if path else data
        return default(data, budget) if value is NOTHING else value

    return evaluate


def _missing_names(names: list[Any], data: Any, budget: Budget) -> list[Any]:
    budget.work(len(names))
    budget.make_list(len(names))
    missing = []
    for name in names:
        path = _path(name, budget)
        value = lookup(data, path) if path else data
        if value is NOTHING or value is None or value == "":
            missing.append(name)
    return missing


def _missing(parts: list[Evaluator]) -> Evaluator:
    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work(1 + len(parts))
        names = [part(data, budget) for part in parts]
        return _missing_names(names[0] if names and isinstance(names[0], list) else names, data, budget)

    return evaluate


def _missing_some(parts: list[Evaluator]) -> Evaluator:
    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        wanted = number(parts[0](data, budget), budget)
        names = parts[1](data, budget)
        if wanted is NOTHING or not isinstance(names, list):
            raise RuleError("`missing_some` needs a number and a list of paths")
        missing = _missing_names(names, data, budget)
        return [] if len(names) - len(missing) >= wanted else missing

    return evaluate


def _items(source: Evaluator, data: Any, budget: Budget) -> Iterator[Any]:
    """The items a loop visits, each one paid for; none where the source is no list."""
    items = source(data, budget)
    if isinstance(items, list):
        for item in items:
            budget.visit()
            yield item


def _map(parts: list[Evaluator]) -> Evaluator:
    source, body = parts

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        return [body(item, budget) for item in _items(source, data, budget)]

    return evaluate


def _filter(parts: list[Evaluator]) -> Evaluator:
    source, body = parts

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        return [item for item in _items(source, data, budget) if truth(body(item, budget))]

    return evaluate


def _reduce(parts: list[Evaluator]) -> Evaluator:
    source, body = parts[:2]
    initial = parts[2] if len(parts) > 2 else Literal(None)

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        accumulator = initial(data, budget)
        for item in _items(source, data, budget):
            accumulator = body({"accumulator": accumulator, "current": item}, budget)
        return accumulator

    return evaluate


def _all(parts: list[Evaluator]) -> Evaluator:
    source, body = parts

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        found = False
        for item in _items(source, data, budget):
            if not truth(body(item, budget)):
                return False
            found = True
        return found

    return evaluate


def _any(parts: list[Evaluator], *, wanted: bool) -> Evaluator:
    source, body = parts

    def evaluate(data: Any, budget: Budget) -> Any:
        budget.work()
        for item in _items(source, data, budget):
            if truth(body(item, budget)):
                return wanted
        return not wanted

    return evaluate


def _some(parts: list[Evaluator]) -> Evaluator:
    return _any(parts, wanted=True)


def _none(parts: list[Evaluator]) -> Evaluator:
    return _any(parts, wanted=False)


def _var_reads(arguments: list[Any]) -> list[Any]:
    return arguments[:1] or [""]


def _missing_reads(arguments: list[Any]) -> list[Any]:
    return arguments[0] if arguments and isinstance(arguments[0], list) else arguments


def _missing_some_reads(arguments: list[Any]) -> list[Any]:
    names = arguments[1] if len(arguments) > 1 else []
    return names if isinstance(names, list) else [names]


FORMS: dict[str, Form] = {
    "if": Form(0, None, _if),
    "?:": Form(0, None, _if),
    "and": Form(1, None, _and),
    "or": Form(1, None, _or),
    "var": Form(0, 2, _var, reads=_var_reads),
    "missing": Form(0, None, _missing, reads=_missing_reads),
    "missing_some": Form(2, 2, _missing_some, reads=_missing_some_reads),
    "map": Form(2, 2, _map, scoped=True),
    "filter": Form(2, 2, _filter, scoped=True),
    "reduce": Form(2, 3, _reduce, scoped=True),
    "all": Form(2, 2, _all, scoped=True),
    "some": Form(2, 2, _some, scoped=True),
    "none": Form(2, 2, _none, scoped=True),
}
"""Operators that are handed their arguments unevaluated."""
