"""The arguments that were there, which win over the config, and values held to a kind."""

from __future__ import annotations

from typing import Any, TypeVar

from stageflow_es.stages.base import BaseStage

T = TypeVar("T")

_KINDS = {list: "a list", dict: "an object", str: "a text", int: "a whole number", float: "a number", bool: "a boolean"}


def given(stage: BaseStage) -> dict[str, Any]:
    """The arguments whose path was there, copied; a null is there."""
    return {name: value for name, value in stage.get_arguments().items() if stage.has_argument(name)}


def expect(value: Any, kind: type[T], what: str) -> T:
    """The value if it is of a kind; raises ValueError naming what it should be. A boolean is no number."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{what} must be {_KINDS[kind]}, not {_named(value)}")
    return value


def looked_up(stage: BaseStage, key: str) -> dict[str, Any]:
    """The values of the context that a config entry names, by the names it gives them; null where there is none."""
    paths = expect(stage.config.get(key, {}), dict, f"{stage.stage_name}'s {key}")
    return {
        name: stage.session.context.get(expect(path, str, f"{stage.stage_name}'s {key}: the context path of {name!r}"))
        for name, path in paths.items()
    }


def output_key(stage: BaseStage) -> str:
    """The name of the output, as configured."""
    return expect(stage.config.get("output_key", "value"), str, f"{stage.stage_name}'s output_key")


def number(value: Any, what: str) -> int | float:
    """The value if it is a number; raises ValueError naming what it should be."""
    return value if isinstance(value, int) and not isinstance(value, bool) else expect(value, float, what)


def _named(value: Any) -> str:
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)
