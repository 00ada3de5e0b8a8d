"""Docstrings are read in every shape StageFlow reads, and prose is a description."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.stages.docstring import describe

PLAIN = {"optional": False, "description": ""}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (
            "{x: {type: int, optional: true, description: d}}",
            [{"name": "x", "type": "int", "optional": True, "description": "d"}],
        ),
        ("{x: {}}", [{"name": "x", "type": "any", **PLAIN}]),
        ("{x: string, y: }", [{"name": "x", "type": "string", **PLAIN}, {"name": "y", "type": "any", **PLAIN}]),
        ("[x, y]", [{"name": "x", "type": "any", **PLAIN}, {"name": "y", "type": "any", **PLAIN}]),
        ("[{name: x, type: int}]", [{"name": "x", "type": "int", **PLAIN}]),
        ("[{name: x}]", [{"name": "x", "type": "any", **PLAIN}]),
        (
            "[{x: {type: int}}, {y: string}]",
            [{"name": "x", "type": "int", **PLAIN}, {"name": "y", "type": "string", **PLAIN}],
        ),
        ("[{x: int, y: string}]", [{"name": "x", "type": "int", **PLAIN}, {"name": "y", "type": "string", **PLAIN}]),
        ("[{x: int, optional: true}]", [{**PLAIN, "name": "x", "type": "int", "optional": True}]),
        ("[{x: {type: int}, description: an x}]", [{**PLAIN, "name": "x", "type": "int", "description": "an x"}]),
        ("[{optional: bool}]", [{"name": "optional", "type": "bool", **PLAIN}]),
        (
            "[{optional: bool, default: int}]",
            [{"name": "optional", "type": "bool", **PLAIN}, {"name": "default", "type": "int", **PLAIN}],
        ),
        ("{x: {type: list, items: int}}", [{"name": "x", "type": "list", "items": "int", **PLAIN}]),
        ("{x: {name: 5}}", [{"name": "x", "type": "any", **PLAIN}]),
        ("{1: int}", [{"name": "1", "type": "int", **PLAIN}]),
        ("", []),
        ("{}", []),
        ("[]", []),
        ("5", []),
    ],
)
def test_the_fields_of_a_docstring_may_be_written_in_many_shapes(written: str, read: list[dict[str, Any]]) -> None:
    described = describe(f"""
    description: d
    arguments: {written}
    """)

    assert described.arguments == read
    assert (described.description, described.config, described.outputs) == ("d", None, None)


@pytest.mark.parametrize(
    ("text", "description"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("\n    Two\n    lines.\n\n    And more.\n    ", "Two lines."),
        ("Note: this reads as a mapping, and is none of ours.", "Note: this reads as a mapping, and is none of ours."),
        ("Breaks: as: yaml", "Breaks: as: yaml"),
        ("- a\n- b", "- a - b"),
        ("description: 2024-99-99", "description: 2024-99-99"),
        ("[" * 5000, "[" * 5000),
        ("description: 1" + "0" * 5000, "description: 1" + "0" * 5000),
        ("!!python/object/apply:os.getcwd []", "!!python/object/apply:os.getcwd []"),
    ],
)
def test_prose_is_the_description(text: str | None, description: str) -> None:
    described = describe(text)

    assert described.description == description
    assert (described.arguments, described.config, described.outputs) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        "description: >\n  folded\n  text\narguments: [x]",
        "description: folded text\n    arguments: [x]",
        "\n    description: folded\n      text\n    arguments:\n    - x\n    ",
    ],
)
def test_a_docstring_may_begin_on_its_first_line_or_the_next(text: str) -> None:
    described = describe(text)

    assert described.description.strip() == "folded text"
    assert described.arguments == [{"name": "x", "type": "any", **PLAIN}]


@pytest.mark.parametrize(("written", "description"), [("5", "5"), ("", ""), ("[a]", "['a']")])
def test_a_description_is_a_text_whatever_yaml_makes_of_it(written: str, description: str) -> None:
    assert describe(f"description: {written}\noutputs: {{}}").description == description


@given(st.text(st.sampled_from("ab \n:-[]{}\"'#&*!|>?%@,019.=") | st.characters()))
def test_no_docstring_raises(text: str) -> None:
    describe(text)
    describe(f"description: {text}")
    describe(f"arguments: {text}")
