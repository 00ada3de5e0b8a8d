"""Which sessions a selection means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from stageflow_es.client import Selection, SessionInfo
from stageflow_es.client.bulk import APPLIES, takes
from stageflow_es.client.selection import age

NOW = datetime(2030, 1, 10, tzinfo=UTC)


def row(**fields: object) -> SessionInfo:
    given = {"session": "s", "status": "failed", "updated_at": "2030-01-05T00:00:00Z", "labels": {"k": "v", "x": "y"}}
    given |= {"pipeline": "returns", "digest": "abc"}
    return SessionInfo(**{**given, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        (Selection(), True),
        (Selection(status="failed"), True),
        (Selection(status="completed"), False),
        (Selection(pipeline="orders"), False),
        (Selection(pipeline="returns"), True),
        (Selection(pipeline="returns@ab"), True),
        (Selection(pipeline="returns@ac"), False),
        (Selection(pipeline="orders@ab"), False),
        (Selection(pipeline="@abc"), True),
        (Selection(labels={"k": "v", "x": "y"}), True),
        (Selection(labels={"k": "v", "x": "z"}), False),
        (Selection(older_than=timedelta(days=5)), True),
        (Selection(older_than=timedelta(days=5, seconds=1)), False),
    ],
)
def test_all_that_a_selection_says_has_to_hold(selection: Selection, selected: bool) -> None:
    assert selection.has(row(), NOW) is selected


def test_a_finished_sessions_age_is_that_of_its_end_whatever_was_refused_later() -> None:
    ended = row(finished_at="2030-01-01T00:00:00Z", updated_at="2030-01-09T00:00:00Z")
    assert Selection(older_than=timedelta(days=9)).has(ended, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45s", 45), ("30m", 1800), ("2h", 7200), ("2d", 172_800), ("1w", 604_800), ("1d12h", 129_600)],
)
def test_an_age_is_numbers_with_units(text: str, seconds: int) -> None:
    assert age(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "2", "d", "2 d", "-1d", "2y", "1.5d", "9" * 20 + "w"])
def test_what_is_no_age_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time|longer than time"):
        age(text)


def test_an_action_is_for_those_that_can_take_it() -> None:
    assert [status for status in ("running", "waiting", "paused", "failed") if takes(row(status=status), "stop")] == [
        "running",
        "waiting",
        "paused",
    ]
    assert not any(takes(row(status="archived"), action) for action in APPLIES)
