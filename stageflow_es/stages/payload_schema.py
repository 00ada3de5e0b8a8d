"""What a payload may be: Python types and shapes as StageFlow's stages declare them, or JSON Schema.

A shape is a type (`int`), a generic (`list[int]`, `dict[str, float]`, `int | None`), a tuple of types, a list of one
shape (`[{"id": int}]`), or a dict of shapes, whose keys are then required. Every shape is checked as the JSON Schema
it is turned into, and every value as the JSON it becomes: neither a boolean nor 1.0 is an `int`, `bytes` are base64,
and nothing is of a type that JSON has no word for. Which dicts are JSON Schemas themselves, `is_json_schema` decides.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from stageflow_es.pipeline.json_schema import INT, nothing, schema_errors
from stageflow_es.pipeline.values import encode

JSON_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})

_DATE: Final = r"\d{4}-\d{2}-\d{2}"
_TIME: Final = r"\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2})?"


def _text(pattern: str, **more: str) -> dict[str, Any]:
    return {"type": "string", **more, "pattern": f"^{pattern}$"}


_BYTES: Final = _text("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", contentEncoding="base64")

_WORDS: Mapping[type, Mapping[str, Any]] = {
    type(None): {"type": "null"},
    bool: {"type": "boolean"},
    int: {"type": "integer", "format": INT},
    float: {"type": "number"},
    str: {"type": "string"},
    list: {"type": "array"},
    tuple: {"type": "array"},
    set: {"type": "array"},
    frozenset: {"type": "array"},
    dict: {"type": "object"},
    bytes: _BYTES,
    bytearray: _BYTES,
    datetime: _text(f"{_DATE}T{_TIME}", format="date-time"),
    date: _text(_DATE, format="date"),
    time: _text(_TIME, format="time"),
    UUID: _text("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", format="uuid"),
    Decimal: _text(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"),
}
"""What JSON has for values of a type, JSON's own types first."""


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


def _word(value: Any) -> bool:
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
    **_each("$schema $ref", _word),
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
    **_each("title description pattern format contentEncoding contentMediaType $id $anchor $comment", _word),
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
    if origin is not None:
        return dict(_WORDS[origin]) if origin in _WORDS else None
    return _of_class(schema) if isinstance(schema, type) else None


def _of_class(kind: type) -> dict[str, Any] | None:
    """What JSON has for instances of a class; of an abstract one, for all that are instances of it."""
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind if isinstance(member.value, (str, int))]}
    word = next((_WORDS[base] for base in kind.__mro__ if base in _WORDS), None)
    if word is not None:
        return dict(word)
    if is_dataclass(kind) or issubclass(kind, msgspec.Struct):
        return {"type": "object"}
    try:
        names = {word["type"] for base, word in _WORDS.items() if issubclass(base, kind)}
    except TypeError:  # a protocol that cannot be asked
        return None
    return {"type": sorted(names)} if names else nothing(kind.__name__)


def validate_schema(value: Any, schema: Any, path: str = "payload") -> None:
    """Raise ValueError, naming the place below `path`, unless the JSON a value becomes is what the schema says."""
    target = to_json_schema(schema)
    if target is None:
        return
    for where, message in schema_errors(target, _as_json(value), 1):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
        raise ValueError(f"{path}{place}: {message}")


def _as_json(value: Any) -> Any:
    """What a value is once it is recorded; itself when it cannot be."""
    try:
        return msgspec.json.decode(encode(value))
    except ValueError:
        return value
