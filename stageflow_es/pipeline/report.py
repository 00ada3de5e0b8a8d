"""Where a validation collects what it finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stageflow_es.errors import Problem
from stageflow_es.pipeline.names import Effort, Names

MAX_PROBLEMS: Final = 20_000


class Report:
    """The problems found so far. Past `MAX_PROBLEMS` it says only that there are more."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []
        self.effort = Effort()

    @property
    def empty(self) -> bool:
        """Whether nothing was found yet."""
        return not self._problems

    @property
    def full(self) -> bool:
        """Whether nothing more is listed."""
        return len(self._problems) >= MAX_PROBLEMS

    def error(self, pointer: str, message: str) -> None:
        """Something the pipeline cannot run with."""
        self.add([Problem(path=pointer, message=message)])

    def warning(self, pointer: str, message: str) -> None:
        """Something that is probably not meant."""
        self.add([Problem(path=pointer, message=message, severity="warning")])

    def add(self, problems: Iterable[Problem]) -> None:
        """Take problems others found."""
        if not self.full:
            self._problems.extend(problems)

    def near(self, name: str, known: Names) -> str:
        """A suggestion for an unknown name, to end a message with; may be empty."""
        return "" if self.full else known.suggestion(name, self.effort)

    def problems(self) -> list[Problem]:
        """Everything found, errors first, otherwise in the order found."""
        ordered = sorted(self._problems[:MAX_PROBLEMS], key=lambda problem: problem.severity != "error")
        if self.full:
            ordered.append(Problem(message=f"there are more than {MAX_PROBLEMS:,} problems; the rest is not listed"))
        return ordered
