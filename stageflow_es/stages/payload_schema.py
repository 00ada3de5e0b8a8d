"""What a payload may be: Python types and shapes as StageFlow's stages declare them, or JSON Schema.

A shape is a type (`int`), a generic (`list[int]`, `dict[str, float]`, `int | None`), a tuple of types, a list of one
shape (`[{"id": int}]`), or a dict of shapes, whose keys are then required. A dict is a JSON Schema instead when one of
its keywords says so: a `type` that names JSON types, or `$schema`, `$ref`, `properties`, `enum` and their like with
values only a schema has. Every shape is checked as the JSON Schema it is turned into.
"""

from __future__ import annotations

import types
from typing import Any, Union, get_args, get_origin

JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})

_NAMES: dict[type, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    tuple: "array",
    dict: "object",
    type(None): "null",
}


def is_json_schema(schema: Any) -> bool:
    """Whether a dict is a JSON Schema and not a shape of fields."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict):
        return False
    kind = schema.get("type")
    if isinstance(kind, str) and kind in JSON_TYPES:
        return True
    if isinstance(kind, list) and kind and all(isinstance(name, str) and name in JSON_TYPES for name in kind):
        return True
    if isinstance(schema.get("$schema"), str) or isinstance(schema.get("$ref"), str):
        return True
    if isinstance(schema.get("enum"), list) and not _is_shape(schema["enum"]):
        return True
    lists = ("anyOf", "oneOf", "allOf", "required")
    return any(isinstance(schema.get(name), list) and not _is_shape(schema[name]) for name in lists) or _has_properties(
        schema
    )


def _is_shape(value: list[Any]) -> bool:
    return len(value) == 1 and (isinstance(value[0], type) or get_origin(value[0]) is not None)


def _has_properties(schema: dict[str, Any]) -> bool:
    properties = schema.get("properties")
    return isinstance(properties, dict) and all(is_json_schema(item) for item in properties.values())


def to_json_schema(schema: Any) -> dict[str, Any] | bool | None:
    """The JSON Schema of a declared shape; None: anything goes."""
    if schema is None or schema is Any or schema is object:
        return None
    if is_json_schema(schema):
        return schema  # type: ignore[no-any-return]
    if isinstance(schema, dict):
        properties = {str(key): _below(value) for key, value in schema.items()}
        return {"type": "object", "properties": properties, "required": list(properties)}
    if isinstance(schema, list):
        return {"type": "array", "items": _below(schema[0])} if len(schema) == 1 else {"type": "array"}
    if isinstance(schema, tuple):
        return {"anyOf": [_below(item) for item in schema]}
    return _of_type(schema)


def _below(schema: Any) -> dict[str, Any] | bool:
    inner = to_json_schema(schema)
    return True if inner is None else inner


def _of_type(schema: Any) -> dict[str, Any] | None:
    origin, args = get_origin(schema), get_args(schema)
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if arg is type(None) else _below(arg) for arg in args]}
    if origin is list and args:
        return {"type": "array", "items": _below(args[0])}
    if origin is dict and args:
        return {"type": "object", "additionalProperties": _below(args[1])}
    name = _NAMES.get(origin or schema)
    return None if name is None else {"type": name}


def validate_schema(value: Any, schema: Any, path: str = "payload") -> None:
    """Raise ValueError, naming the place below `path`, unless the value is what the schema says."""
    from stageflow_es.stages.json_schema import first_problem

    target = to_json_schema(schema)
    if target is None:
        return
    found = first_problem(target, value)
    if found is not None:
        where, message = found
        raise ValueError(f"{path}{where}: {message}")
