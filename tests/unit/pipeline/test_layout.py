"""The layout of a JSON text says where every value stands, and which keys stand twice."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.errors import DefinitionError
from stageflow_es.pipeline import Layout, Pipeline
from stageflow_es.pipeline.pointers import below

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def pointers(value: Any, pointer: str = "") -> dict[str, Any]:
    found = {pointer: value}
    inner = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for key, item in inner:
        found |= pointers(item, below(pointer, key))
    return found


@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
def test_every_value_stands_where_its_pointer_says(value: Any, indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    layout = Layout(text)
    lines = text.split("\n")

    assert layout.repeated == []
    for pointer, expected in pointers(value).items():
        line, column = layout.place(pointer)
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == expected


def test_what_is_not_there_stands_where_the_nearest_thing_around_it_does() -> None:
    layout = Layout('{\n "a": [1, {"b": 2}]}')

    assert layout.place("/a/1/c/d") == (2, 11)
    assert layout.place("/x") == (1, 1)


@pytest.mark.parametrize(
    ("text", "pointers"),
    [
        ('{"a": 1, "a": 2}', ["/a"]),
        ('{"a": {"b": 1, "b": 2, "b": 3}, "c": [{"b": 1}, {"b": 1}]}', ["/a/b", "/a/b"]),
        ('{"a": 1, "\\u0061": 2}', ["/a"]),
        ('{"a/b": 1, "a/b": {"x": "{\\"a\\": 1, \\"a\\": 2}"}}', ["/a~1b"]),
        ('[{"": 0, "": 0}]', ["/0/"]),
    ],
)
def test_a_key_that_stands_twice_is_found(text: str, pointers: list[str]) -> None:
    assert [problem.path for problem in Layout(text).repeated] == pointers


def test_a_definitions_text_tells_of_keys_twice_and_of_all_else() -> None:
    text = '{"entry": "a", "entry": "b", "nodes": [{"id": "a", "type": "terminal"}]}'
    for data in (text, text.encode()):
        with pytest.raises(DefinitionError) as raised:
            Pipeline.from_json(data)
        assert [problem.path for problem in raised.value.problems] == ["/entry", "/entry"]
