"""From a JSON Logic rule to one Python function, with everything that is wrong with it found on the way.

A rule becomes nested closures once, when its pipeline is compiled. Nothing that comes out of the data is ever looked
at as a rule, and an operator is only ever looked up by its exact name in the table given here: a value cannot become
code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline.names import Effort, Names
from stageflow_es.pipeline.pointers import below, kind_of, shown
from stageflow_es.pipeline.rule_limits import MAX_DEPTH, MAX_PARTS, MAX_PATH, MAX_TEXT, Budget
from stageflow_es.pipeline.rule_values import LARGEST, text

Evaluator = Callable[[Any, Budget], Any]
"""(data, budget) -> value."""


TOO_MANY: Final = f"a rule may have {MAX_PARTS:,} parts at most"

Place = tuple["Place", str | int] | None
"""Where in a rule: the place around it and the key in that; None is the rule itself. Made a pointer only when there
is a problem to report."""


class Literal:
    """An evaluator that gives the same value whatever the data are. The value is never changed."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, data: Any, budget: Budget) -> Any:
        return self.value


NULL: Final = Literal(None)


class Form(msgspec.Struct, frozen=True):
    """One operator: how many arguments it takes (`most` None: any number) and how to make its evaluator.

    `scoped`: its second argument is evaluated for each item of the first, with the item as the data.
    `reads`: which of its arguments name paths.
    """

    least: int
    most: int | None
    build: Callable[[list[Evaluator]], Evaluator]
    scoped: bool = False
    reads: Callable[[list[Any]], list[Any]] | None = None

    def arity(self) -> str:
        """The number of arguments it takes, in words."""
        if self.most == self.least:
            return f"{self.least} argument{'s' if self.least != 1 else ''}"
        return f"{self.least} to {self.most} arguments" if self.most is not None else f"{self.least} or more arguments"


REFUSED: Final = {
    "method": "`method` calls methods of Python objects and is not available",
    "count": "`count` is no JSON Logic operator; use `reduce`, or `filter` with `missing_some`",
}


class Compiler:
    """Compiles one rule. `problems` and `variables` fill while it walks; what it returns is only to be run when there
    are no problems. With `checking` it only looks for those: what it returns is nothing to be run."""

    def __init__(
        self, forms: Mapping[str, Form], names: Names, pointer: str, effort: Effort, *, checking: bool = False
    ) -> None:
        self._pointer = pointer
        self._forms = forms
        self._names = names
        self._effort = effort
        self._checking = checking
        self._parts = 0
        self._text = 0
        self._full = False
        self.problems: list[Problem] = []
        self.variables: dict[str, None] = {}

    def compile(self, rule: object, at: Place = None, depth: int = 0, scoped: bool = False) -> Evaluator:
        """The evaluator of the rule at a place. `scoped`: its data are an item, not what the rule was given."""
        if not self._admit(rule, at, depth):
            return NULL
        match rule:
            case dict():
                return self._object(rule, at, depth, scoped)
            case list():
                return self._list(rule, at, depth, scoped)
            case None | bool() | int() | float() | str():
                return NULL if self._checking else Literal(rule)
            case _:
                self._problem(at, f"{type(rule).__name__} is no JSON value")
                return NULL

    def _problem(self, at: Place, message: str) -> None:
        tokens: list[str | int] = []
        while at is not None:
            at, token = at
            tokens.append(token)
        self.problems.append(Problem(path=below(self._pointer, *reversed(tokens)), message=message))

    def _admit(self, value: object, at: Place, depth: int) -> bool:
        """Whether a value is within the limits. The first that is not is reported, and nothing more is looked at."""
        if self._full:
            return False
        self._parts += 1
        parts = self._parts
        if isinstance(value, str):
            self._text += len(value)
        elif isinstance(value, (list, dict)):
            parts += len(value)
        elif (message := number_problem(value)) is not None:
            self._problem(at, message)
            return False
        if depth <= MAX_DEPTH and parts <= MAX_PARTS and self._text <= MAX_TEXT:
            return True
        self._full = True
        if depth > MAX_DEPTH:
            self._problem(at, f"a rule may be nested {MAX_DEPTH} levels deep at most")
        elif parts > MAX_PARTS:
            self._problem(at, TOO_MANY)
        else:
            self._problem(at, f"the texts in a rule may be {MAX_TEXT:,} characters at most")
        return False

    def _list(self, items: list[Any], at: Place, depth: int, scoped: bool) -> Evaluator:
        parts = [self.compile(item, (at, i), depth + 1, scoped) for i, item in enumerate(items)]
        if all(isinstance(part, Literal) for part in parts):
            return Literal(items)
        size = len(parts)

        def evaluate(data: Any, budget: Budget) -> Any:
            budget.work(size)
            budget.make_list(size)
            return [part(data, budget) for part in parts]

        return evaluate

    def _object(self, rule: dict[Any, Any], at: Place, depth: int, scoped: bool) -> Evaluator:
        if len(rule) != 1:
            return self._literal_object(rule, at, depth)
        (name,) = rule
        if not isinstance(name, str):
            self._problem(at, "the key of an object must be a text")
            return NULL
        form = self._forms.get(name)
        if form is None:
            self._problem((at, name), self._unknown(name))
            return NULL
        return self._operator(name, form, rule[name], (at, name), depth, scoped)

    def _unknown(self, name: str) -> str:
        if name in REFUSED:
            return REFUSED[name]
        if "." in name or "__" in name:
            return f"{shown(name)} is no operator: operators are known by exact names, without dots or `__`"
        return f"unknown operator {shown(name)}{self._names.suggestion(name, self._effort)}"

    def _operator(self, name: str, form: Form, given: object, at: Place, depth: int, scoped: bool) -> Evaluator:
        arguments = given if isinstance(given, list) else [given]
        if not self._full and self._parts + len(arguments) > MAX_PARTS:
            self._full = True
            self._problem(at, TOO_MANY)
        if self._full:
            return NULL
        if len(arguments) < form.least or (form.most is not None and len(arguments) > form.most):
            self._problem(at, f"`{name}` takes {form.arity()}, here are {len(arguments)}")
        if form.reads is not None:
            self._read(form.reads(arguments), at, scoped)
        parts = []
        for index, argument in enumerate(arguments):
            where = (at, index) if isinstance(given, list) else at
            parts.append(self.compile(argument, where, depth + 1, scoped or (form.scoped and index == 1)))
        return NULL if self._checking or self.problems else form.build(parts)

    def _read(self, names: list[Any], at: Place, scoped: bool) -> None:
        """Take down the paths an operator reads, and report those it may not read."""
        for name in names:
            match name:
                case None:
                    path = ""
                case dict() if len(name) == 1:
                    path = ""
                case str():
                    path = name
                case int() | float() if not isinstance(name, bool):
                    path = text(name, Budget()) if number_problem(name) is None else ""
                case _:
                    self._problem(at, f"a path is a text or an index, not {kind_of(name)}")
                    continue
            problem = path_problem(path)
            if problem:
                self._problem(at, problem)
            elif not scoped:
                self.variables[path] = None

    def _literal_object(self, value: dict[Any, Any], at: Place, depth: int) -> Evaluator:
        operators = [name for name in value if name in self._forms or name in REFUSED]
        if operators:
            message = f"one object holds one operator; here is {shown(operators[0])} beside other keys"
            self._problem(at, f"{message} (join rules with `and` or `or`)")
            return NULL
        for name, item in value.items():
            if not isinstance(name, str):
                self._problem(at, "the keys of an object must be texts")
            elif self._admit(name, at, depth + 1):
                self._data(item, (at, name), depth + 1)
        return Literal(value)

    def _data(self, value: object, at: Place, depth: int) -> None:
        """Check a value inside a literal object, which is data and no rule."""
        if not self._admit(value, at, depth):
            return
        if isinstance(value, dict):
            for name, item in value.items():
                if not isinstance(name, str):
                    self._problem(at, "the keys of an object must be texts")
                elif self._admit(name, at, depth + 1):
                    self._data(item, (at, name), depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._data(item, (at, index), depth + 1)
        elif not isinstance(value, (str, int, float)) and value is not None:
            self._problem(at, f"{type(value).__name__} is no JSON value")


def path_problem(path: str) -> str | None:
    """Why a rule may not read this path, or None."""
    if len(path) > MAX_PATH:
        return f"a path may be {MAX_PATH} characters long at most"
    if "__" in path:
        return f"a rule may not read {shown(path)}: `__` is not allowed in paths"
    return None


def number_problem(value: object) -> str | None:
    """Why a number may not stand in a rule; None where it may, or is none."""
    if isinstance(value, float) and not isfinite(value):
        return f"{value} is no JSON number"
    if isinstance(value, int) and not -LARGEST <= value < LARGEST:
        return "whole numbers in a rule must fit in 64 bits"
    return None
