"""A command nested so deep that walking it could end a process is refused where it is read."""

from __future__ import annotations

import pytest

from stageflow_es.session.wire import InputBody, parse_command


def body(levels: int) -> bytes:
    return b'{"type":"x","payload":' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize("levels", [128, 500, 100_000])
def test_a_body_nested_too_deep_is_refused(levels: int) -> None:
    problems = parse_command("input", "s", body(levels))

    assert isinstance(problems, list)
    assert len(problems) == 1
    assert "nested more than 128 levels" in problems[0].message or "not JSON" in problems[0].message


def test_a_body_nested_as_deep_as_may_be_is_taken() -> None:
    assert isinstance(parse_command("input", "s", body(127)), InputBody)


def test_brackets_in_texts_are_not_nesting() -> None:
    assert isinstance(parse_command("input", "s", b'{"type":"x","payload":"' + b"[{" * 500 + b'"}'), InputBody)
