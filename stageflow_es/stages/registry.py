"""The stages of this process by name, and what the core needs to know of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from stageflow_es.pipeline.spec import Catalog, FieldSpec, MessageSpec, StageSpec
from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.declared import mistakes
from stageflow_es.stages.docstring import Fields, describe
from stageflow_es.stages.flawed import tell
from stageflow_es.stages.messages import event_spec, input_spec
from stageflow_es.stages.payload_schema import to_json_schema

S = TypeVar("S", bound=type[BaseStage])

_stages: dict[str, type[BaseStage]] = {}
_specs: WeakKeyDictionary[type[BaseStage], StageSpec] = WeakKeyDictionary()


def register_stage(name: str) -> Callable[[S], S]:
    """Register a class under a name. Raises ValueError when another class has it; the same class of a module, defined
    again by a reload, takes its own place. Raises TypeError when it is no stage, or declares what cannot be."""
    if not isinstance(name, str):  # `@register_stage` would leave a function where the class was
        raise TypeError(f"a stage is registered under a name: @register_stage('Name'), not {name!r}")

    def register(stage: S) -> S:
        if not (isinstance(stage, type) and issubclass(stage, BaseStage)):
            raise TypeError(f"{stage!r} cannot be registered as stage {name!r}: it is no subclass of BaseStage")
        if wrong := mistakes(stage):
            raise TypeError(f"{'.'.join(_origin(stage))} cannot be registered as stage {name!r}: {'; '.join(wrong)}")
        known = _stages.get(name)
        if known is not None and (_origin(known) != _origin(stage) or "<locals>" in stage.__qualname__):
            raise ValueError(f"stage {name!r} is registered already, by {'.'.join(_origin(known))}")
        stage.stage_name = name
        _stages[name] = stage
        return stage

    return register


def _origin(stage: type[BaseStage]) -> tuple[str, str]:
    return stage.__module__, stage.__qualname__


def get_stage(name: str) -> type[BaseStage]:
    """The class registered under a name. Raises ValueError when there is none."""
    if not isinstance(name, str) or name not in _stages:
        raise ValueError(f"no stage {name!r} is registered")
    return _stages[name]


def get_stages() -> dict[str, type[BaseStage]]:
    """All registered classes by name."""
    return dict(_stages)


def get_stages_by_category() -> dict[str, list[type[BaseStage]]]:
    """All registered classes by category; those without are under `default`."""
    grouped: dict[str, list[type[BaseStage]]] = {}
    for stage in _stages.values():
        grouped.setdefault(stage.category or "default", []).append(stage)
    return grouped


def catalog() -> Catalog:
    """The specs of all registered stages."""
    return {name: spec_of(stage) for name, stage in _stages.items()}


def spec_of(stage: type[BaseStage]) -> StageSpec:
    """What the core must know of a class."""
    spec = _specs.get(stage)
    if spec is None or spec.stage_name != stage.stage_name:
        spec = _specs[stage] = _make_spec(stage)
    return spec


def _make_spec(stage: type[BaseStage]) -> StageSpec:
    described = describe(stage.__doc__)
    if described.flaw is not None:
        tell(stage, stage.stage_name, described.flaw)
    return StageSpec(
        stage_name=stage.stage_name,
        category=stage.category,
        description=described.description,
        skipable=stage.skipable,
        blocking=stage.blocking,
        timeout=stage.timeout,
        retries=stage.retries,
        retry_delay=stage.retry_delay,
        retry_backoff=stage.retry_backoff,
        allowed_events=tuple(_message(event_spec(item)) for item in stage.allowed_events),
        allowed_inputs=tuple(_message(input_spec(item)) for item in stage.allowed_inputs),
        arguments=_fields(described.arguments),
        config=_fields(described.config),
        outputs=_fields(described.outputs),
    )


def _message(spec: Any) -> MessageSpec:
    return MessageSpec(type=spec.type, description=spec.description, payload_schema=to_json_schema(spec.payload_schema))


def _fields(fields: Fields | None) -> tuple[FieldSpec, ...] | None:
    if fields is None:
        return None
    return tuple(
        FieldSpec(
            name=field["name"],
            type=str(field["type"]),
            optional=bool(field["optional"]),
            description=str(field["description"]),
            format=str(field.get("format") or ""),
        )
        for field in fields
    )
