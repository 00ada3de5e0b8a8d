"""What a rule, a template or a definition costs does not depend on how deep the caller's stack is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest

from stageflow_es.pipeline import (
    Pipeline,
    canonical,
    check_rule,
    compile_rule,
    compile_template,
    validate,
)
from stageflow_es.pipeline.room import with_room

DEPTHS = 140
"""More frames of `_below`, of 15 words or more, than the 16 KiB of a chunk of CPython's have room for."""
TURNS = 600
FEW_FAULTS = 400
"""Pages of memory. A loop across the end of a chunk takes at least one a turn; rules have a few steps without room."""

MANY = {"and": [{"!!": [True]}] * TURNS}
STAGES = [{"id": f"n{n}", "type": "stage", "stage": "S", "next": f"n{n + 1}"} for n in range(TURNS)]
CONDITION = {"id": f"n{TURNS}", "type": "condition", "conditions": [{"if": MANY, "then": "end"}]}
DEFINITION = {"entry": "n0", "nodes": [*STAGES, CONDITION, {"id": "end", "type": "terminal"}]}

LOOP = compile_rule({"none": [{"var": "l"}, {"<": [{"var": ""}, 0]}]})
FLAT = compile_rule(MANY)
JOIN = compile_rule({"cat": [{"var": "l"}]})
LISTS = compile_rule({"var": "lists"})
DATA = {"l": list(range(TURNS)), "lists": [[n] for n in range(TURNS)]}
TEMPLATE = compile_template("{l[7]}" * TURNS)

CALLS: dict[str, Callable[[], object]] = {
    "a rule that loops": lambda: LOOP.truthy(DATA),
    "a rule of many parts": lambda: FLAT.truthy(DATA),
    "a rule that joins": lambda: JOIN.evaluate(DATA),
    "a rule whose value is large": lambda: LISTS.evaluate(DATA),
    "a rule that is compiled": lambda: compile_rule(MANY),
    "a rule that is checked": lambda: check_rule(MANY),
    "a template": lambda: TEMPLATE.render(DATA),
    "a template of one large value": lambda: compile_template("{lists}").render(DATA),
    "a template that is compiled": lambda: compile_template("{l[7]}" * TURNS),
    "a definition that is validated": lambda: validate(DEFINITION),
    "a definition that is compiled": lambda: Pipeline.trusted(canonical(DEFINITION)),
}


def _below(depth: int, call: Callable[[], object]) -> object:
    return _below(depth - 1, call) if depth else call()


def _faults(depth: int, call: Callable[[], object]) -> int:
    before = getrusage(RUSAGE_SELF).ru_minflt
    _below(depth, call)
    return getrusage(RUSAGE_SELF).ru_minflt - before


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_depth_of_the_stack_makes_it_map_memory_at_every_turn(call: Callable[[], object]) -> None:
    for depth in range(DEPTHS):
        assert _faults(depth, call) < FEW_FAULTS or _faults(depth, call) < FEW_FAULTS, depth


def test_without_room_there_is_such_a_depth() -> None:
    def turns() -> object:
        return [abs_of(-n) for n in range(TURNS)]

    def abs_of(n: int) -> int:
        return abs(n)

    def worst(call: Callable[[], object]) -> int:
        return max(_faults(depth, call) for depth in range(DEPTHS))

    if sys.version_info < (3, 14):  # which keeps a chunk in reserve
        assert worst(turns) >= TURNS
    assert worst(lambda: with_room(turns)) < FEW_FAULTS


def test_with_room_recursion_still_ends_where_python_ends_it(small_stack: None) -> None:
    def endless() -> Any:
        return with_room(endless)

    raised = []

    def run() -> None:
        with pytest.raises(RecursionError):
            endless()
        raised.append(True)

    run()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised == [True, True]


@pytest.fixture
def small_stack() -> Any:
    before = threading.stack_size(256 * 1024)
    yield
    threading.stack_size(before)


def test_the_frame_that_makes_room_is_a_plain_call() -> None:
    assert with_room(divmod, 7, 2) == (3, 1)
    assert with_room(sorted, [1, 2], reverse=True) == [2, 1]
    with pytest.raises(ZeroDivisionError):
        with_room(divmod, 1, 0)
