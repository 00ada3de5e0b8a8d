"""What StageFlow's tools read: the catalogue of stages as JSON or YAML, and the pipeline schema that knows its stages.

The names and shapes are StageFlow's; a payload schema comes as JSON Schema, whatever it was declared as.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from stageflow_es.errors import OperatorError
from stageflow_es.pipeline import pipeline_schema
from stageflow_es.stages import BaseStage
from stageflow_es.stages.payload_schema import to_json_schema

StageRegistry = Mapping[str, type[BaseStage]]


def generate_stages_json(stage_registry: StageRegistry) -> str:
    """The specs of the stages by name, as JSON text. Raises OperatorError when a class cannot tell its own."""
    return json.dumps(stage_specs(stage_registry), indent=2)


def generate_stages_yaml(stage_registry: StageRegistry) -> str:
    """The same as YAML."""
    import yaml

    return yaml.safe_dump(stage_specs(stage_registry), allow_unicode=True, sort_keys=False, indent=2)


def generate_pipeline_schema(stage_registry: StageRegistry) -> dict[str, Any]:
    """The JSON Schema of a pipeline whose stages are among these."""
    return pipeline_schema(stage_registry)


def load_pipeline_schema() -> dict[str, Any]:
    """The JSON Schema of a pipeline that may name any stage."""
    return pipeline_schema()


def stage_specs(stage_registry: StageRegistry) -> dict[str, dict[str, Any]]:
    """The specs of the stages by name, as JSON values. Raises OperatorError when a class cannot tell its own."""
    return {name: _specs(name, stage) for name, stage in stage_registry.items()}


def _specs(name: str, stage: type[BaseStage]) -> dict[str, Any]:
    try:
        specs = dict(stage.get_specs())
        for messages in ("allowed_events", "allowed_inputs"):
            specs[messages] = [
                {**message, "payload_schema": to_json_schema(message.get("payload_schema"))}
                for message in specs[messages]
            ]
    except Exception as problem:
        raise OperatorError(f"stage {name!r} does not say what it is: {type(problem).__name__}: {problem}") from problem
    return {str(key): _json_value(value, ()) for key, value in specs.items()}


def _json_value(value: Any, around: tuple[int, ...]) -> Any:
    """A value as JSON has it: what JSON has no word for as text, and what contains itself as an ellipsis."""
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if id(value) in around:
            return "…"
        inside = (*around, id(value))
        if isinstance(value, dict):
            return {str(key): _json_value(item, inside) for key, item in value.items()}
        return [_json_value(item, inside) for item in value]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and isfinite(value)):
        return value
    return str(value)
