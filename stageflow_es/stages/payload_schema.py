"""What a payload may be: Python types and shapes as StageFlow's stages declare them, or JSON Schema.

A shape is a type (`int`), a generic (`list[int]`, `dict[str, float]`, `int | None`), a tuple of types, a list of one
shape (`[{"id": int}]`), or a dict of shapes, whose keys are then required. Every shape is checked as the JSON Schema
it is turned into: a boolean is no integer, 1.0 is one, and a type that JSON has no word for is not checked. Which
dicts are JSON Schemas themselves, `is_json_schema` decides.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Literal, Union, get_args, get_origin

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
    """Whether a declared schema is a JSON Schema and not a shape: a dict with a keyword whose value only a schema
    has. Python types are in shapes alone, so a dict that holds one anywhere below a keyword is none."""
    if isinstance(schema, bool):
        return True
    return isinstance(schema, dict) and any(name in schema and fits(schema[name]) for name, fits in _KEYWORDS.items())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _names_types(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in JSON_TYPES for name in names)


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_json, value.values()))
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, (str, int, float))


def _is_json_list(value: Any) -> bool:
    return isinstance(value, list) and _is_json(value)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_json_schema, value.values()))


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": _names_types,
    "properties": _are_schemas,
    **dict.fromkeys(("$schema", "$ref", "pattern", "format"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("enum", "required", "anyOf", "oneOf", "allOf"), _is_json_list),
    **dict.fromkeys(("items", "additionalProperties", "not", "contains", "propertyNames"), is_json_schema),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _is_number),
}
"""Keywords of JSON Schema that assert something, and what shows that they are meant as such."""


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
        return {"type": "array", "items": _below(schema[0])} if len(schema) == 1 else None
    if isinstance(schema, tuple):
        return {"anyOf": [_below(item) for item in schema]}
    return _of_type(schema)


def _below(schema: Any) -> dict[str, Any] | bool:
    inner = to_json_schema(schema)
    return True if inner is None else inner


def _of_type(schema: Any) -> dict[str, Any] | None:
    origin, args = get_origin(schema), get_args(schema)
    if origin is Literal:
        return {"enum": list(args)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_below(arg) for arg in args]}
    if origin is list and args:
        return {"type": "array", "items": _below(args[0])}
    if origin is dict and args:
        return {"type": "object", "additionalProperties": _below(args[1])}
    kind = origin or schema
    name = _NAMES.get(kind) if isinstance(kind, type) else None
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
