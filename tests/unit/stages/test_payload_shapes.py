"""Payloads are declared as Python shapes or as JSON Schema, and both are told apart and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Optional, Protocol, Union
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from stageflow_es.stages import validate_schema
from stageflow_es.stages.payload_schema import is_json_schema, to_json_schema


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Text(str):
    __slots__ = ()


class Nothing:
    """What JSON has no word for."""


class CannotBeAsked(Protocol):
    x: int


FITS: list[tuple[Any, Any]] = [
    (int, 5),
    (float, 1),
    (float, 1.5),
    (str, ""),
    (bool, False),
    (dict, {"a": 1}),
    (list, [1, "a"]),
    (list, (1, "a")),
    (tuple, (1, 2)),
    (type(None), None),
    (None, object()),
    (Any, {"x": 1}),
    (object, ["x"]),
    (list[str], ["a", "b"]),
    (list[Any], [1, None]),
    (dict[str, int], {"a": 1}),
    (dict[str, list[int]], {"a": [1]}),
    (Optional[int], None),  # noqa: UP045  StageFlow's users write it so
    (Union[int, str], "a"),  # noqa: UP007
    (int | None, None),
    (list[int | str], [1, "a"]),
    ((int, str), "a"),
    ([{"id": int}], [{"id": 1}, {"id": 2, "more": True}]),
    ([int], []),
    ([], 5),
    ([int, str], 5),
    ({"user": {"id": int, "tags": list[str]}}, {"user": {"id": 1, "tags": ["x"]}, "more": 1}),
    ({"a": int | None}, {"a": None}),
    ({"a": None}, {"a": 1}),
    ({}, {"a": 1}),
    ({"when": datetime}, {"when": datetime(2026, 1, 2, 3, 4, 5, 6)}),
    ({"when": datetime}, {"when": "2026-01-02T03:04:05Z"}),
    (date, date(2026, 1, 2)),
    (time, "03:04"),
    (bytes, b"\x00\xff"),
    (bytes, "AP8="),
    (bytes, ""),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("-1.50")),
    (set, {1, 2}),
    (list, {1}),
    (Colour, Colour.RED),
    (Colour, "red"),
    (Point, Point(1)),
    (Mapping, {"a": 1}),
    (Sequence, "text"),
    (Sequence[int], 5),
    (CannotBeAsked, 5),
    (Text, "a"),
    ("no shape", 5),
    ({1, 2}, 5),
    ({"type": "string", "minLength": 2}, "ab"),
    ({"user": {"type": "object", "required": ["id"]}, "n": int}, {"user": {"id": 1}, "n": 1}),
    (True, 5),
]

DOES_NOT_FIT: list[tuple[Any, Any, str]] = [
    (int, True, "payload: True is not of type 'integer'"),
    (int, 1.5, "integer"),
    (int, 1.0, "payload: 1.0 is written as a number with a fraction, not as an integer"),
    ({"n": list[int]}, {"n": [1, 2.0]}, r"payload\.n\[1\]: 2.0 is written as a number with a fraction"),
    (int | str, 1.0, "payload: 1.0 is not valid under any of the given schemas"),
    (bytes, "no base64", "does not match"),
    (bytes, 5, "string"),
    ({"data": bytes}, {"data": ["AP8="]}, r"payload\.data: .* is not of type 'string'"),
    (datetime, "tomorrow", "does not match"),
    (date, "2026-01-02T03:04:05Z", "does not match"),
    (UUID, "5", "does not match"),
    (Decimal, 1.5, "string"),
    (Colour, "blue", r"'blue' is not one of \['red'\]"),
    (Point, [1], "object"),
    (Mapping, [], "object"),
    (complex, 1, "payload: 1 is no complex: JSON has no word for one"),
    ({"order": Nothing}, {"order": {"id": 1}}, r"payload\.order: {'id': 1} is no Nothing: JSON has no word for one"),
    ({"order": Nothing}, {"order": Nothing()}, r"payload\.order: .* is no Nothing"),
    (int, "1", "integer"),
    (float, True, "number"),
    (bool, 1, "boolean"),
    (str, None, "string"),
    (list, {}, "array"),
    (dict, [], "object"),
    (list[str], ["a", 1], r"payload\[1\]: 1 is not of type 'string'"),
    (dict[str, int], {"a": "x"}, r"payload\.a: 'x'"),
    (dict[str, int], [1], "object"),
    (Optional[int], "bad", "payload"),  # noqa: UP045
    (int | None, "bad", "payload"),
    ((int, str), None, "payload"),
    ([{"id": int}], [{"id": 1}, {"id": "x"}], r"payload\[1\]\.id: 'x'"),
    ([{"id": int}], {}, "array"),
    ({"user": {"id": int}}, {"user": {}}, r"payload\.user: 'id' is a required property"),
    ({"user": {"id": int}}, {"user": 5}, r"payload\.user: 5"),
    ({"a": None}, {}, "'a' is a required property"),
    ({}, 5, "object"),
    ({"type": "string", "minLength": 2}, "a", "too short"),
    ({"user": {"type": "object", "required": ["id"]}, "n": int}, {"user": {}, "n": 1}, r"payload\.user: 'id'"),
    ({"type": "object", "properties": {"l": {"items": {"type": "integer"}}}}, {"l": [1, "x"]}, r"payload\.l\[1\]"),
    (False, 5, "payload"),
]


@pytest.mark.parametrize(("schema", "value"), FITS)
def test_a_value_that_fits_is_accepted(schema: Any, value: Any) -> None:
    validate_schema(value, schema)


@pytest.mark.parametrize(("schema", "value", "message"), DOES_NOT_FIT)
def test_a_value_that_does_not_fit_is_refused_with_its_place(schema: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate_schema(value, schema)


def test_the_place_a_refusal_names_begins_with_what_the_caller_calls_the_value() -> None:
    with pytest.raises(ValueError, match=r"^Event payload\.a: "):
        validate_schema({"a": "x"}, {"a": int}, "Event payload")


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "object", "properties": 5}, "is no JSON Schema"),
        ({"$ref": "#/$defs/nowhere"}, "refers to '/\\$defs/nowhere'"),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, "refers to 'http"),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
            "cannot be applied to this value: RecursionError",
        ),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_value_error_and_nothing_is_fetched(
    schema: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[Any] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *args, **kwargs: fetched.append(args))

    with pytest.raises(ValueError, match=message):
        validate_schema({"a": 1}, schema)

    assert fetched == []


JSON_SCHEMAS: list[Any] = [
    True,
    {"type": "object"},
    {"type": ["string", "null"]},
    {"type": "object", "properties": {"type": {"type": "string"}}, "required": ["type"]},
    {"$schema": "https://json-schema.org/draft/2020-12/schema"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
    {"properties": {"a": {}, "b": True}},
    {"properties": {"properties": {"type": "object"}}, "title": "T", "additionalProperties": False},
    {"enum": ["a", "b"]},
    {"const": 5},
    {"minimum": 1},
    {"maxLength": 5},
    {"required": ["id"]},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"items": {"type": "string"}},
    {"not": {"type": "null"}},
    {"additionalProperties": False},
    {"title": "Order", "type": "object", "x-own": {"a": 1}},
]

SHAPES: list[Any] = [
    None,
    int,
    {},
    {"user": {}},
    {"type": str},
    {"type": "str"},
    {"type": "object", "user": int},
    {"type": {"type": "string"}},
    {"properties": {"a": int}},
    {"properties": str},
    {"required": [str]},
    {"required": [{"id": int}]},
    {"enum": list[str]},
    {"enum": [{"id": int}]},
    {"anyOf": [{"type": int}]},
    {"items": [str]},
    {"items": {}},
    {"items": {"type": "array"}, "note": {"type": "string"}},
    {"items": {"type": "array"}, "title": {"type": "string"}},
    {"$ref": str},
    {"minimum": int, "maximum": int},
    {"title": "text", "description": "text"},
    [{"type": "object"}],
    ({"type": "object"},),
]


@pytest.mark.parametrize("schema", JSON_SCHEMAS)
def test_a_json_schema_is_taken_as_it_is(schema: Any) -> None:
    Draft202012Validator.check_schema(schema)

    assert is_json_schema(schema)
    assert to_json_schema(schema) is schema


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_is_no_json_schema(shape: Any) -> None:
    assert not is_json_schema(shape)


KEYWORDS = st.sampled_from(["type", "properties", "items", "required", "enum", "anyOf", "$ref", "minimum", "name"])
LEAVES = st.sampled_from([str, int, float, bool, list[int], dict[str, Any], int | None, Any])


@given(
    st.recursive(
        LEAVES,
        lambda inner: (
            st.dictionaries(KEYWORDS, inner, min_size=1, max_size=3) | st.lists(inner, min_size=1, max_size=1)
        ),
        max_leaves=6,
    )
)
def test_whatever_field_names_a_shape_has_its_types_tell_it(shape: Any) -> None:
    assert not is_json_schema(shape)
    Draft202012Validator.check_schema(True if (schema := to_json_schema(shape)) is None else schema)


PAIRS = st.recursive(
    st.sampled_from([(int, 1), (str, "a"), (bool, True), (float, 1.5), (type(None), None), (int | None, None)]),
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "type", "items"]), inner, min_size=1, max_size=3).map(
            lambda fields: (
                {key: pair[0] for key, pair in fields.items()},
                {key: pair[1] for key, pair in fields.items()},
            )
        )
        | inner.map(lambda pair: ([pair[0]], [pair[1], pair[1]]))
        | inner.map(lambda pair: ((pair[0], int), pair[1]))
    ),
    max_leaves=6,
)


@given(PAIRS)
def test_a_value_made_for_a_shape_fits_and_what_is_no_json_does_not(pair: tuple[Any, Any]) -> None:
    shape, value = pair

    validate_schema({"x": value}, {"x": shape})
    with pytest.raises(ValueError, match=r"payload\.x"):
        validate_schema({"x": object()}, {"x": shape})
    with pytest.raises(ValueError, match="'x' is a required property"):
        validate_schema({}, {"x": shape})
