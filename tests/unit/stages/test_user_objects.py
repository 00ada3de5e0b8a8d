"""Events and contexts are what StageFlow's users know them as."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.errors import PathError
from stageflow_es.stages import Context, DotDict, Event, EventSpec, InputSpec

TEXTS = st.none() | st.text()
PAYLOADS = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-5, 5) | st.text())


@given(
    st.builds(
        Event,
        type=st.text(),
        session_id=st.text(),
        node_id=TEXTS,
        stage_id=TEXTS,
        action_id=TEXTS,
        payload=PAYLOADS,
        timestamp=st.datetimes(timezones=st.just(UTC)),
    )
)
def test_an_event_goes_through_json_and_back(event: Event) -> None:
    again = Event.from_dict(msgspec.json.decode(msgspec.json.encode(event.to_dict())))

    assert vars(again) == vars(event)


def test_an_event_of_a_users_own_happened_now_and_has_no_more_than_was_given() -> None:
    before = datetime.now(UTC)
    event = Event(type="e", session_id="s")
    read = Event.from_dict({"type": "e", "session_id": "s"})

    for made in (event, read):
        assert before <= made.timestamp <= datetime.now(UTC)
        assert made.timestamp.tzinfo is UTC
        assert (made.node_id, made.stage_id, made.action_id, made.payload) == (None, None, None, {})


def test_specs_are_made_from_their_type_alone() -> None:
    assert vars(EventSpec("e")) == {"type": "e", "description": None, "payload_schema": None}
    assert vars(InputSpec()) == {
        "type": None,
        "description": None,
        "required": True,
        "default": None,
        "payload_schema": None,
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b", 1),
        ("payload.a.b", 1),
        ("l.1.x", 2),
        ("l.-1.x", 2),
        ("null", None),
        ("l.2", "default"),
        ("a.b.c", "default"),
        ("nowhere.x", "default"),
        ("", "default"),
    ],
)
def test_a_context_gives_the_value_at_a_path_or_the_default(path: str, value: Any) -> None:
    assert Context({"a": {"b": 1}, "l": [{}, {"x": 2}], "null": None}).get(path, "default") == value


@pytest.mark.parametrize(
    ("path", "value", "after"),
    [
        ("b", 2, {"a": {"x": 1}, "l": [1], "b": 2}),
        ("payload.a.x", 2, {"a": {"x": 2}, "l": [1]}),
        ("a.y.z", 2, {"a": {"x": 1, "y": {"z": 2}}, "l": [1]}),
        ("l.0", 2, {"a": {"x": 1}, "l": [2]}),
        ("l.1.n", 2, {"a": {"x": 1}, "l": [1, {"n": 2}]}),
        ("payload", {"n": 1}, {"n": 1}),
    ],
)
def test_a_write_changes_a_context_at_its_path_alone(path: str, value: Any, after: dict[str, Any]) -> None:
    context = Context({"a": {"x": 1}, "l": [1]})
    payload = context.payload

    context.set(path, value)

    assert context.to_dict() == after
    assert context.payload is payload, "who holds the payload sees the write"


@pytest.mark.parametrize("path", ["l.3", "l.x", "a.x.y", "l.-1"])
def test_what_cannot_be_written_is_an_error_and_changes_nothing(path: str) -> None:
    context = Context({"a": {"x": 1}, "l": [1]})

    with pytest.raises(PathError):
        context.set(path, 2)

    assert context.to_dict() == {"a": {"x": 1}, "l": [1]}


def test_a_context_shares_nothing_with_what_it_is_made_of_or_gives() -> None:
    given_, value = {"a": {"x": [1]}}, [1]
    context = Context.from_dict(given_)
    context.set("v", value)

    context.payload.a.x.append(2)
    value.append(2)
    context.to_dict()["a"]["x"].append(3)

    assert given_ == {"a": {"x": [1]}}
    assert context.to_dict() == {"a": {"x": [1, 2]}, "v": [1]}


def test_a_payload_has_attributes_all_the_way_down() -> None:
    context = Context({"user": {"name": {"first": "Ada"}}, "old": 1})

    context.payload.user.name.last = "L"
    context.payload.user.age = 36
    del context.payload.old

    assert context.payload.user.name.first == "Ada"
    assert context.to_dict() == {"user": {"name": {"first": "Ada", "last": "L"}, "age": 36}}
    assert context.get("user.name.last") == "L"


def test_an_attribute_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nope"):
        _ = DotDict().nope
    with pytest.raises(AttributeError, match="nope"):
        del DotDict().nope
    assert not hasattr(DotDict(), "nope")


def test_a_dot_dict_can_be_copied() -> None:
    assert deepcopy(DotDict(a={"b": [1]})) == {"a": {"b": [1]}}


@given(st.lists(st.sampled_from(["a", "b", "payload"]), min_size=1, max_size=4), st.integers())
def test_what_is_written_to_any_path_of_a_context_is_read_there(parts: list[str], value: int) -> None:
    path = ".".join(parts)
    context = Context()
    if path == "payload":
        with pytest.raises(PathError):
            context.set(path, value)
    else:
        context.set(path, value)
        assert context.get(path) == value
