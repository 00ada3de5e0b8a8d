"""Where a validation collects what it finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stageflow_es.errors import Problem
from stageflow_es.pipeline.names import Effort, Names

MAX_PROBLEMS: Final = 20_000


class TooMany(Exception):
    """There are more problems than a report takes. It ends the search for them, which may be anywhere among calls: to
    go on and count takes up to 20 seconds for a definition that is nothing but mistakes, and to ask in every loop
    whether to go on takes fifteen such questions, of which one that is forgotten is not noticed."""


class Report:
    """The problems found so far, and what suggestions may still cost."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self.effort = Effort()

    @property
    def empty(self) -> bool:
        """Whether nothing was found yet."""
        return not self._problems

    def error(self, pointer: str, message: str) -> None:
        """Something the pipeline cannot run with. Raises TooMany, as all that adds to the report does."""
        self._add(Problem(path=pointer, message=message))

    def warning(self, pointer: str, message: str) -> None:
        """Something that is probably not meant."""
        self._add(Problem(path=pointer, message=message, severity="warning"))

    def extend(self, problems: Iterable[Problem]) -> None:
        """Take problems others found."""
        for problem in problems:
            self._add(problem)

    def _add(self, problem: Problem) -> None:
        self._problems.append(problem)
        if len(self._problems) > MAX_PROBLEMS:
            raise TooMany

    def near(self, name: str, known: Names) -> str:
        """A suggestion for an unknown name, to end a message with; may be empty."""
        return known.suggestion(name, self.effort)

    def problems(self) -> list[Problem]:
        """Everything found, errors first, else in the order found. Past `MAX_PROBLEMS` only that there are more."""
        ordered = sorted(self._problems[:MAX_PROBLEMS], key=lambda problem: problem.severity != "error")
        if len(self._problems) > MAX_PROBLEMS:
            ordered.append(Problem(message=f"there are more than {MAX_PROBLEMS:,} problems; the rest is not listed"))
        return ordered
