"""How much a JSON Logic rule may cost: as written, and each time it is evaluated.

The limits are far above what a decision in a pipeline needs, and low enough that the worst rule costs less than
50 milliseconds and 16 megabytes.
"""

from __future__ import annotations

from typing import Final

from stageflow_es.errors import RuleError

MAX_DEPTH: Final = 48
"""Levels of nesting of a rule as written."""

MAX_PARTS: Final = 5_000
"""Values (operators, literals, lists) in one rule."""

MAX_TEXT: Final = 65_536
"""Characters in all the texts of one rule."""

MAX_PATH: Final = 512
"""Characters in one path read by `var` or `missing`."""

MAX_STEPS: Final = 45_000
"""Work units of one evaluation: an operator, an item visited, or `TEXT_PER_STEP` characters looked at, is one."""

FEW_STEPS: Final = 100
"""As many as most rules take. A rule that takes more is evaluated again from the start, with all steps and with room
for its calls, which costs more than those few."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""Memory that texts and lists made during one evaluation may take, counted as if none of it were given back."""

TEXT_PER_STEP: Final = 256
PATH_PER_STEP: Final = 8
"""Characters of a path that cost a step when it is looked up: it may have a part for every two."""

DIGITS_PER_STEP: Final = 64
"""Characters of a text that cost a step when it is read as a number."""
PARSE: Final = 3
"""Steps for reading a text as a number, besides those for its length."""
LARGE_INTEGER: Final = 6
"""Steps for a whole number of more than 64 bits, which is made a double."""
FRACTION: Final = 4
"""Steps for a text of a number that is no whole one."""
JOIN: Final = 2
"""Steps for a text of a list, besides one for each item."""

ITEM_BYTES: Final = 8
CONTAINER_BYTES: Final = 64
CHARACTER_BYTES: Final = 4
"""The widest a character of a Python string can be."""


class OutOfSteps(RuleError):
    """The steps of a budget are spent."""


class Budget:
    """What is left of the limits in one evaluation. Spending more raises RuleError, OutOfSteps for steps."""

    __slots__ = ("bytes", "steps")

    def __init__(self, steps: int = MAX_STEPS, bytes: int = MAX_BYTES) -> None:
        self.steps = steps
        self.bytes = bytes

    def work(self, steps: int = 1) -> None:
        """Pay for visiting `steps` values."""
        self.steps -= steps
        if self.steps < 0:
            raise OutOfSteps(f"the rule takes more than {MAX_STEPS:,} steps")

    def visit(self) -> None:
        """Pay for an item that a loop visits, and for what the loop makes of it."""
        self.steps -= 1
        self.bytes -= CONTAINER_BYTES
        if self.steps < 0 or self.bytes < 0:
            self.work(0)
            self.make_list(0)

    def read(self, text: str) -> None:
        """Pay for looking at every character of a text."""
        self.work(1 + len(text) // TEXT_PER_STEP)

    def make_text(self, characters: int) -> None:
        """Pay for a new text of this length, before it is made."""
        self._make(CONTAINER_BYTES + CHARACTER_BYTES * characters)
        self.work(1 + characters // TEXT_PER_STEP)

    def make_list(self, items: int) -> None:
        """Pay for a new list of this length, before it is made."""
        self._make(CONTAINER_BYTES + ITEM_BYTES * items)

    def _make(self, bytes: int) -> None:
        self.bytes -= bytes
        if self.bytes < 0:
            raise RuleError(f"the rule makes more than {MAX_BYTES:,} bytes of texts and lists")
