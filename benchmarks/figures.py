"""Figures: what a benchmark gives, and the table of them."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured value. `goal`: what it should be, at most, or at least where `at_least`."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it is as it should be; None: nothing is asked of it."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def rate(name: str, value: float, unit: str, goal: float | None = None) -> Figure:
    """A figure of which more is better."""
    return Figure(name, value, unit, goal, at_least=True)


def table(figures: Iterable[Figure]) -> str:
    """The figures as lines of text."""
    lines = []
    for one in figures:
        goal = "" if one.goal is None else f"{'>=' if one.at_least else '<='} {_number(one.goal)}"
        verdict = {True: "", False: "  missed", None: ""}[one.met]
        lines.append(f"{one.name:<66} {_number(one.value):>10} {one.unit:<10} {goal}{verdict}".rstrip())
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"
