"""What a payload may be: Python types and shapes as StageFlow's stages declare them, or JSON Schema.

A shape is a type (`int`), a generic (`list[int]`, `dict[str, float]`, `int | None`), a tuple of types, a list of one
shape (`[{"id": int}]`), or a dict of shapes, whose keys are then required. Every shape is checked as the JSON Schema
it is turned into: a boolean is no integer, 1.0 is one, and a type that JSON has no word for is not checked. Which
dicts are JSON Schemas themselves, `is_json_schema` decides.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
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
    """Whether this is a JSON Schema and not a shape of fields.

    Whatever holds a Python type anywhere is a shape. Of the rest, a dict is a JSON Schema when one of its keywords
    has a value that makes no shape (`"type": "string"`, `"minimum": 1`, `"required": ["id"]`), or when it has a
    keyword for further schemas (`items`, `properties`) and consists of keywords alone. `{}` is an empty shape.
    """
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict) or not _is_json(schema):
        return False
    if any(key in _TELLING and _TELLING[key](value) for key, value in schema.items()):
        return True
    return not _NESTING.keys().isdisjoint(schema) and all(
        key in _KEYWORDS and _KEYWORDS[key](value) for key, value in schema.items()
    )


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    return value is None or isinstance(value, (str, int, float))


def _type_names(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in JSON_TYPES for name in names)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _scalar(value: Any) -> bool:
    return isinstance(value, (str, int, float))


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)


def _list(value: Any) -> bool:
    return isinstance(value, list)


def _schemas(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, (dict, bool)) for item in value)


def _named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, (dict, bool)) for item in value.values())


def _anything(value: Any) -> bool:
    return True


def _each(names: str, form: Callable[[Any], bool]) -> dict[str, Callable[[Any], bool]]:
    return dict.fromkeys(names.split(), form)


_TELLING: Mapping[str, Callable[[Any], bool]] = {
    "type": _type_names,
    "enum": _list,
    "const": _scalar,
    "required": _texts,
    **_each("$schema $ref", _text),
    **_each("anyOf oneOf allOf prefixItems", _schemas),
    **_each("minimum maximum exclusiveMinimum exclusiveMaximum multipleOf", _number),
    **_each("minLength maxLength minItems maxItems minContains maxContains minProperties maxProperties", _number),
}
"""Keywords whose values make no shape."""

_NESTING: Mapping[str, Callable[[Any], bool]] = {
    **_each("items contains additionalProperties propertyNames not if then else", is_json_schema),
    **_each("unevaluatedItems unevaluatedProperties", is_json_schema),
    **_each("properties patternProperties dependentSchemas $defs", _named_schemas),
}
"""Keywords whose values could be shapes: they count among keywords only, for a field may be called `items`."""

_KEYWORDS: Mapping[str, Callable[[Any], bool]] = {
    **_TELLING,
    **_NESTING,
    **_each("title description pattern format contentEncoding contentMediaType $id $anchor $comment", _text),
    **_each("uniqueItems deprecated readOnly writeOnly", _flag),
    "default": _anything,
    "examples": _list,
}


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
