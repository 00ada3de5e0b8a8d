"""Taking a value from the arguments or, where the argument was missing, from the config."""

from __future__ import annotations

from typing import Any, TypeVar

from stageflow_es.stages.base import BaseStage

T = TypeVar("T")


def argument_or(stage: BaseStage, name: str, otherwise: Any) -> Any:
    """The argument if its path was there, else `otherwise`."""
    return stage.get_arguments()[name] if stage.has_argument(name) else otherwise


def expect(value: Any, kind: type[T], what: str) -> T:
    """The value if it is of a kind; raises ValueError naming what it should be. A boolean is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        found = "null" if value is None else type(value).__name__
        raise ValueError(f"{what} must be a {kind.__name__}, not {found}")
    return value
