"""JSON Logic, sealed: a rule is compiled once and evaluated within limits, and can do nothing but compute a value.

The operators on values are json-logic-qubit's; this is the only file that imports it. It is never given a rule, only
operands of the types it is right about: as published it evaluates JSON into method calls, loops for as long as a rule
wants, and mistakes an item that is falsy for missing data. What decides *what* is evaluated is in `rule_forms`.

Rules mean what the public JSON Logic test table says, and where that is silent what JavaScript does, except:

- arithmetic on what is no number, division by zero and results beyond a double are errors (JavaScript: NaN or
  Infinity, which no JSON value can be);
- `+` and `*` want whole texts as numbers ("3px" is none), and refuse null and booleans, for which JavaScript has NaN;
- lists and objects are equal, and found by `in`, when their values are (JavaScript: when they are the same object);
- `>` and `>=` take three arguments too, as `<` and `<=` do;
- a wrong number of arguments, `method`, and a path with `__` are errors when the rule is compiled;
- `log` gives its argument and prints nothing; a list has no `length`; a text has no items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import json_logic

from stageflow_es.errors import Problem, RuleError
from stageflow_es.pipeline.names import Effort, Names
from stageflow_es.pipeline.room import with_room
from stageflow_es.pipeline.rule_comparison import loosely_equal, ordered, strictly_equal
from stageflow_es.pipeline.rule_compiler import REFUSED, Compiler, Evaluator, Form
from stageflow_es.pipeline.rule_forms import FORMS
from stageflow_es.pipeline.rule_limits import FEW_STEPS, TEXT_PER_STEP, Budget, OutOfSteps
from stageflow_es.pipeline.rule_numbers import operands, settled
from stageflow_es.pipeline.rule_values import copied, text, truth

MANY: Final = 8
"""Arguments from which on each one costs two steps; of fewer, two cost one."""

SEARCH: Final = 2
"""How many times as long as reading a text it takes to look for another in it."""

_LIBRARY: dict[str, Callable[..., Any]] = dict(json_logic.operations)
"""The library's operators as they were at import: what others register there later does not reach us."""

Operation = Callable[[list[Any], Budget], Any]


class InvalidRule(RuleError):
    """A rule that cannot be compiled. `problems` has everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in self.problems))


def _eager(operation: Operation) -> Callable[[list[Evaluator]], Evaluator]:
    """The evaluator of an operator that wants the values of all its arguments."""

    def build(parts: list[Evaluator]) -> Evaluator:
        cost = 1 + (len(parts) // 2 if len(parts) < MANY else 2 * len(parts))

        def evaluate(data: Any, budget: Budget) -> Any:
            budget.work(cost)
            return operation([part(data, budget) for part in parts], budget)

        return evaluate

    return build


def _strict(negated: bool) -> Operation:
    return lambda values, budget: strictly_equal(values[0], values[1], budget, _LIBRARY["==="]) is not negated


def _loose(negated: bool) -> Operation:
    return lambda values, budget: loosely_equal(values[0], values[1], budget, _LIBRARY["==="]) is not negated


def _ordering(name: str) -> Operation:
    compare = _LIBRARY[name]

    def operation(values: list[Any], budget: Budget) -> bool:
        if len(values) == 2:
            return ordered(values[0], values[1], budget, compare)
        return all(ordered(a, b, budget, compare) for a, b in pairwise(values))

    return operation


def _chain(name: str, start: int) -> Operation:
    """`+` and `*`, two operands at a time, so that no number on the way grows beyond what JSON holds."""
    combine = _LIBRARY[name]

    def operation(values: list[Any], budget: Budget) -> Any:
        result: Any = start
        for operand in operands(name, values, budget):
            result = settled(name, combine(result, operand))
        return result

    return operation


def _arithmetic(name: str) -> Operation:
    compute = _LIBRARY[name]
    return lambda values, budget: settled(name, compute(*operands(name, values, budget)))


def _division(name: str) -> Operation:
    compute = _LIBRARY[name]

    def operation(values: list[Any], budget: Budget) -> Any:
        a, b = operands(name, values, budget)
        if b == 0:
            raise RuleError(f"`{name}` by zero")
        if name == "/":
            return settled(name, compute(a, b))
        rest = settled(name, compute(abs(a), abs(b)))
        return -rest if a < 0 else rest

    return operation


def _in(values: list[Any], budget: Budget) -> bool:
    needle, hay = values
    if isinstance(hay, str):
        if isinstance(needle, dict):
            return False
        budget.work(SEARCH * (1 + len(hay) // TEXT_PER_STEP))
        return bool(_LIBRARY["in"](text(needle, budget), hay))
    if not isinstance(hay, list):
        return False
    if isinstance(needle, (list, dict)):
        return any(strictly_equal(needle, item, budget, _LIBRARY["==="]) for item in hay)
    equal, size = _LIBRARY["==="], len(needle) if isinstance(needle, str) else 0
    budget.work(len(hay) * (1 + size // TEXT_PER_STEP))
    return any(equal(needle, item) for item in hay)


def _cat(values: list[Any], budget: Budget) -> Any:
    texts = ["" if value is None else text(value, budget) for value in values]
    budget.make_text(sum(map(len, texts)))
    return _LIBRARY["cat"](*texts)


def _substr(values: list[Any], budget: Budget) -> Any:
    source = text(values[0], budget)
    bounds = [int(bound) for bound in operands("substr", values[1:], budget)]
    budget.make_text(2 * len(source))
    return _LIBRARY["substr"](source, *bounds)


def _merge(values: list[Any], budget: Budget) -> Any:
    budget.make_list(sum(len(value) if isinstance(value, list) else 1 for value in values))
    return _LIBRARY["merge"](*values)


def _not(values: list[Any], budget: Budget) -> Any:
    return _LIBRARY["!"](truth(values[0]))


def _yes(values: list[Any], budget: Budget) -> Any:
    return _LIBRARY["!!"](truth(values[0]))


def _argument(values: list[Any], budget: Budget) -> Any:
    return values[0]


_EAGER: dict[str, tuple[int, int | None, Operation]] = {
    "==": (2, 2, _loose(False)),
    "!=": (2, 2, _loose(True)),
    "===": (2, 2, _strict(False)),
    "!==": (2, 2, _strict(True)),
    "<": (2, 3, _ordering("<")),
    "<=": (2, 3, _ordering("<=")),
    ">": (2, 3, _ordering(">")),
    ">=": (2, 3, _ordering(">=")),
    "!": (1, 1, _not),
    "!!": (1, 1, _yes),
    "+": (0, None, _chain("+", 0)),
    "*": (1, None, _chain("*", 1)),
    "-": (1, 2, _arithmetic("-")),
    "/": (2, 2, _division("/")),
    "%": (2, 2, _division("%")),
    "min": (1, None, _arithmetic("min")),
    "max": (1, None, _arithmetic("max")),
    "in": (2, 2, _in),
    "cat": (0, None, _cat),
    "substr": (2, 3, _substr),
    "merge": (0, None, _merge),
    "log": (1, 1, _argument),
}

_BUILT_IN: dict[str, Form] = FORMS | {
    name: Form(least, most, _eager(operation)) for name, (least, most, operation) in _EAGER.items()
}

OPERATORS: frozenset[str] = frozenset(_BUILT_IN)
"""The names of the operators every rule may use."""


class Operators:
    """Operators of the host's own, by exact name, given to `compile_rule`. Nothing is global.

    A function gets the values of its arguments and returns a JSON value. It is trusted, may be called twice for one
    evaluation, and must not change what it is given.
    """

    def __init__(self, forms: Mapping[str, Form] = _BUILT_IN) -> None:
        self.forms = forms
        self.names = Names(forms)

    def adding(self, name: str, function: Callable[..., Any], *, least: int, most: int | None) -> Operators:
        """These and one more. Raises ValueError for a name that is taken, or that no operator may have."""
        if name in self.forms or name in REFUSED or not name.isidentifier() or "__" in name:
            raise ValueError(f"{name!r} cannot name an operator of your own")

        def operation(values: list[Any], budget: Budget) -> Any:
            return function(*values)

        return Operators({**self.forms, name: Form(least, most, _eager(operation))})


_STANDARD = Operators()


class Rule:
    """A compiled rule. `variables`: the paths it reads from the data it is given, `""` standing for all of it (also
    where a path is computed)."""

    __slots__ = ("_run", "variables")

    def __init__(self, run: Evaluator, variables: tuple[str, ...]) -> None:
        self._run = run
        self.variables = variables

    def evaluate(self, data: Any) -> Any:
        """The value of the rule, a copy that belongs to the caller. Raises RuleError and nothing else."""
        return _guarded(lambda budget: copied(self._run(data, budget), budget))

    def truthy(self, data: Any) -> bool:
        """Whether the value of the rule is truthy. Raises RuleError and nothing else."""
        return bool(_guarded(lambda budget: truth(self._run(data, budget))))


def _guarded(evaluate: Callable[[Budget], Any]) -> Any:
    try:
        try:
            return evaluate(Budget(FEW_STEPS))
        except OutOfSteps:
            pass
        return with_room(evaluate, Budget())
    except RuleError:
        raise
    except Exception as problem:
        raise RuleError(f"the rule cannot be evaluated: {type(problem).__name__}: {problem}") from problem


def compile_rule(rule: object, pointer: str = "", operators: Operators = _STANDARD) -> Rule:
    """Compile a JSON Logic rule. Raises InvalidRule with all problems, their pointers beginning with `pointer`."""
    return with_room(_compiled, rule, pointer, operators)


def compile_rules(rules: Iterable[object]) -> tuple[Rule, ...]:
    """Compile several rules, for a caller that has made room. Raises InvalidRule for the first that has problems."""
    return tuple(_compiled(rule, "", _STANDARD) for rule in rules)


def _compiled(rule: object, pointer: str, operators: Operators) -> Rule:
    compiler = Compiler(operators.forms, operators.names, pointer, Effort())
    run = compiler.compile(rule)
    if compiler.problems:
        raise InvalidRule(compiler.problems)
    return Rule(run, tuple(compiler.variables))


def check_rule(rule: object, pointer: str = "", operators: Operators = _STANDARD) -> list[Problem]:
    """Everything that is wrong with a rule; empty when it compiles."""
    return with_room(_problems, rule, pointer, operators, Effort())


def _problems(rule: object, pointer: str, operators: Operators, effort: Effort) -> list[Problem]:
    compiler = Compiler(operators.forms, operators.names, pointer, effort, checking=True)
    compiler.compile(rule)
    return compiler.problems


def check_condition(rule: object, pointer: str, effort: Effort) -> list[Problem]:
    """Everything that is wrong with a rule that decides something, for a caller that has made room. An empty object
    decides nothing: it is always truthy. `effort` is what suggestions may still cost."""
    if rule == {}:
        message = "an empty object is no rule; write true for a condition that always holds"
        return [Problem(path=pointer, message=message)]
    return _problems(rule, pointer, _STANDARD, effort)


def condition_data(payload: dict[str, Any], error: object | None = None) -> dict[str, Any]:
    """What a condition sees: the context both bare and under `payload`, and under `$error` the failure that led here,
    if one did. Nothing is copied but the top level."""
    data = {**payload, "payload": payload}
    if error is not None:
        data["$error"] = error
    return data
