"""The JSON Schema of a pipeline document, made from the same tables the validator reads.

It says what a document may look like; what the references in it come to, and whether its rules are sound, only
`validate` knows. A number written `3.0` is whole to JSON Schema, and not to the validator.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from stageflow_es.pipeline.fields import CONDITION_FIELDS, NODE_FIELDS, PIPELINE_FIELDS, Fields

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def pipeline_schema(stages: Iterable[str] | None = None) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a pipeline document.

    `stages`: the names a stage node may use; None allows any.
    """
    definitions: dict[str, Any] = {"pipeline": {"$ref": "#"}, "node": _node(), "condition": _object(CONDITION_FIELDS)}
    for type_, fields in NODE_FIELDS.items():
        schema = _object(fields)
        schema["properties"]["type"] = {"const": type_}
        definitions[f"{type_}_node"] = schema
    if stages is not None:
        definitions["stage_node"]["properties"]["stage"]["enum"] = sorted(stages)
    return {"$schema": DIALECT, "title": "StageFlow Pipeline", **_object(PIPELINE_FIELDS), "$defs": definitions}


def _node() -> dict[str, Any]:
    """Any node: its type decides which definition applies, so that a validator names the field that is wrong."""
    choices = [
        {
            "if": {"properties": {"type": {"const": type_}}, "required": ["type"]},
            "then": {"$ref": f"#/$defs/{type_}_node"},
        }
        for type_ in NODE_FIELDS
    ]
    return {
        "type": "object",
        "required": ["id", "type"],
        "properties": {"type": {"enum": list(NODE_FIELDS)}},
        "allOf": choices,
    }


def _object(fields: Fields) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for name, field in fields.by_name.items():
        properties[name] = {**deepcopy(field.kind.schema), "description": field.about}
        if field.default is not None:
            properties[name]["default"] = deepcopy(field.default)
    return {
        "type": "object",
        "required": [name for name, field in fields.by_name.items() if field.required],
        "properties": properties,
        "additionalProperties": False,
    }
