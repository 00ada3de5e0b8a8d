"""What a stage class declares in its attributes, held to what it may be when the class is registered: a mistake there
would show when the first stage of it fails, or when the first session waits, and stop that session for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

from stageflow_es.stages.messages import EventSpec, InputSpec, event_spec, input_spec

if TYPE_CHECKING:
    from stageflow_es.stages.base import BaseStage


def mistakes(stage: type[BaseStage]) -> list[str]:
    """What is wrong with the attributes of a class, each as half a sentence."""
    found = [
        f"{name} has to be {meant}, not {getattr(stage, name)!r:.80}"
        for name, (meant, fits) in _ATTRIBUTES.items()
        if not fits(getattr(stage, name))
    ]
    return [*found, *_of_specs(stage, "allowed_events", event_spec), *_of_specs(stage, "allowed_inputs", input_spec)]


def _amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not isnan(value) and value >= 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_ATTRIBUTES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "timeout": ("a number of seconds from 0 on, or None", lambda value: value is None or _amount(value)),
    "retries": ("a number from 0 on", _amount),
    "retry_delay": ("a number of seconds from 0 on", _amount),
    "retry_backoff": ("a number from 0 on", _amount),
    "skipable": ("True or False", _flag),
    "blocking": ("True or False", _flag),
    "category": ("a text, or None", lambda value: value is None or isinstance(value, str)),
}


def _of_specs(stage: type[BaseStage], name: str, make: Callable[[Any], EventSpec | InputSpec]) -> Iterator[str]:
    declared = getattr(stage, name)
    if not isinstance(declared, Sequence) or isinstance(declared, (str, bytes)):
        yield f"{name} has to be a list, not {declared!r:.80}"
        return
    for item in declared:
        try:
            spec = make(item)
        except TypeError:
            yield f"{name} has {item!r:.80}, which is none: it would be like {{'type': 'name', 'payload_schema': ...}}"
            continue
        if spec.type is not None and not isinstance(spec.type, str):
            yield f"{name} has the type {spec.type!r:.80}, which is no text"
        if isinstance(spec.payload_schema, (str, bytes, int, float)) and not isinstance(spec.payload_schema, bool):
            yield f"{name} has the payload_schema {spec.payload_schema!r:.80}, which is no schema"
