"""Templates render what `str.format` would for JSON values, and nothing a value's Python object has."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress
from itertools import repeat
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.errors import RuleError
from stageflow_es.pipeline import compile_template
from stageflow_es.pipeline.templates import MAX_FIELDS, MAX_OUTPUT, MAX_TEMPLATE, joined, text_of
from tests.costs import ends_soon

VALUES: dict[str, Any] = {
    "name": "Ada",
    "price": 3.14159,
    "n": 1234567,
    "yes": True,
    "nothing": None,
    "tags": ["a", {"deep": "x"}],
    "a": {"b": {"c": 3, "0": "zero"}},
}


@pytest.mark.parametrize(
    "template",
    [
        "",
        "plain",
        "{name}",
        "Hello {name}, {name}!",
        "{price:.2f}|{price:8.1f}|{price:+}|{price:e}|{price:.0%}",
        "{n:,}|{n:_}|{n:>10}|{n:010d}|{n:#x}|{n:b}",
        "{name:>10}|{name:<10}|{name:^10}|{name:*^10}|{name:.1}",
        "{name!r}|{name!s}|{name!a}|{name!r:>8}",
        "{yes}|{nothing}|{tags}|{a}",
        "{yes:>6}",
        "{{{name}}}",
        "{{name}}",
        "{{}}",
        "{tags[0]}",
        "{tags[1][deep]}",
    ],
)
def test_a_template_reads_as_it_did(template: str) -> None:
    assert compile_template(template).render(VALUES) == template.format(**VALUES)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{a.b.c}", "3"),
        ("{a[b].c}", "3"),
        ("{a.b[0]}", "zero"),
        ("{tags.1.deep}", "x"),
        ("{a.b.c:03d}", "003"),
    ],
)
def test_dots_look_up_keys_and_indexes(template: str, expected: str) -> None:
    assert compile_template(template).render(VALUES) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{name.__class__}",
        "{name.upper}",
        "{tags.append}",
        "{a.keys}",
        "{name.__class__.__mro__[1].__subclasses__}",
        "{a.b.__init__.__globals__[os]}",
        "{tags[-1]}",
        "{tags[2]}",
        "{missing}",
        "{a.missing}",
        "{0}",
    ],
)
def test_only_what_is_in_the_values_can_be_reached(template: str) -> None:
    with pytest.raises(RuleError, match="there is no"):
        compile_template(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("a {", "character 2: this `{` is not closed"),
        ("a } b", "character 2: this `}` closes nothing"),
        ("{}", "needs a name"),
        ("{:>3}", "needs a name"),
        ("{.a}", "needs a name"),
        ("{a..b}", "is no lookup"),
        ("{a[}", "is no lookup"),
        ("{a[b]c}", "is no lookup"),
        ("{" + "a." * 40 + "a}", "is no lookup"),
        ("{name!x}", "unknown conversion"),
        ("{name:{n}}", "not closed"),
        ("{n:n}", "format that is not supported"),
        ("{n:%Y-%m}", "format that is not supported"),
        ("{n:>1000001}", "wider than"),
        ("{n:99999999999999999999}", "wider than"),
        ("{price:.500f}", "digits of precision"),
        ("x" * (MAX_TEMPLATE + 1), "characters long at most"),
        ("{a}" * (MAX_FIELDS + 1), "placeholders at most"),
        ("{" * MAX_TEMPLATE, "braces at most"),
        ("{{}}" * 5_001, "braces at most"),
    ],
)
def test_a_malformed_template_is_refused_when_it_is_compiled(template: str, message: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_template(template)
    assert message in str(raised.value)


@pytest.mark.parametrize("template", ["{name:d}", "{tags:>5}", "{nothing:>5}", "{price:d}", "{a:x}"])
def test_a_format_that_does_not_suit_the_value_is_a_typed_error(template: str) -> None:
    with pytest.raises(RuleError, match="cannot be written for"):
        compile_template(template).render(VALUES)


def test_the_rendered_text_is_bounded() -> None:
    with pytest.raises(RuleError, match="longer than"):
        compile_template("{s}{s}").render({"s": "x" * (MAX_OUTPUT // 2 + 1)})
    with pytest.raises(RuleError, match="longer than"):
        compile_template("{s!r}").render({"s": "x" * (MAX_OUTPUT + 1)})
    with pytest.raises(RuleError, match="longer than"):
        compile_template("{n:>1000}" * 1100).render({"n": 1})


def twice(levels: int, value: Any) -> Any:
    """A list that is small in memory, and as long as it is deep to the power of two when it is written."""
    for _ in range(levels):
        value = [value, value]
    return value


HEAVY: dict[str, Any] = {
    "a list of lists": [[1] * 1000] * 1000,
    "a list doubled": twice(40, 1),
    "an object doubled": twice(40, {"a": "b"}),
    "long texts": ["x" * 10_000] * 1_000,
    "long keys": [{"x" * 10_000: 1}] * 1_000,
    "many items": [1] * 1_000_000,
}


@pytest.mark.parametrize("template", ["{v}", "{v!r}", "{v!a}", "{o.v}", "{o}"])
@pytest.mark.parametrize("name", HEAVY)
def test_a_value_whose_text_would_be_too_long_is_never_written(name: str, template: str) -> None:
    compiled = compile_template(template)
    values = {"v": HEAVY[name], "o": {"v": HEAVY[name]}}
    tracemalloc.start()
    try:
        with pytest.raises(RuleError, match="longer than"):
            compiled.render(values)
        assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


OFTEN: dict[str, tuple[str, Any]] = {
    "little of a long text": ("{v!r:.1}", "\x01" * 200_000),
    "little of many items": ("{v!r:.1}", list(range(50_000))),
    "many digits": ("{v:.100f}", 1e300),
    "large integers": ("{v:,}", 10**4000),
}


@pytest.mark.parametrize(("template", "value"), OFTEN.values(), ids=OFTEN)
def test_what_is_looked_at_counts_however_little_of_it_is_written(template: str, value: Any) -> None:
    compiled = compile_template(template * MAX_FIELDS)
    with ends_soon(), pytest.raises(RuleError, match=r"characters$"):
        compiled.render({"v": value})


def test_a_number_that_python_does_not_write_is_a_rule_error() -> None:
    with pytest.raises(RuleError, match="cannot be written"):
        text_of(10**5000)


def test_joining_stops_before_the_text_is_too_long() -> None:
    with pytest.raises(RuleError, match="longer than"):
        joined(repeat("x" * 1000))
    with pytest.raises(RuleError, match="longer than"):
        joined(repeat(""), "x" * 1000)
    assert joined(["a", "b"], "-") == "a-b"
    with pytest.raises(RuleError, match="longer than"):
        text_of(HEAVY["a list doubled"])
    assert text_of([1, None]) == "[1, None]"


def test_a_template_knows_the_values_it_needs() -> None:
    assert compile_template("{b.c} {a} {b[x]} {{c}}").names == ("b", "a")


@given(st.text(alphabet="{}[].!:ab0 >r", max_size=30))
def test_any_text_compiles_and_renders_or_is_a_rule_error(text: str) -> None:
    with suppress(RuleError):
        assert isinstance(compile_template(text).render({"a": {"b": [1, "x"]}, "b": 2.5}), str)
