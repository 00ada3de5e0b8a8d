"""A frame against a context that copies everything: whatever was shared or forked sees no later write."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stageflow_es.session.paths import MISSING, Frame, PathError, copy, parse, read

PART = st.sampled_from(["a", "b", "0", "1"])
PATH = st.lists(PART, min_size=1, max_size=3).map(".".join)
VALUE = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(PART, inner, max_size=2),
    max_leaves=5,
)
CONTEXT = st.dictionaries(PART, VALUE, max_size=3)
MOVES = st.lists(
    st.tuples(st.sampled_from(["write", "share", "fork", "stay"]), st.one_of(PATH, st.just("payload")), VALUE),
    max_size=12,
)


def put(context: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the context with the value at the path, as a frame has to have it."""
    parts = parse(path)
    if not parts:
        if not isinstance(value, dict):
            raise PathError("not an object")
        return deepcopy(value)
    root = inner = deepcopy(context)
    for part, after in zip(parts, (*parts[1:], None), strict=True):
        inner = _step(inner, part, {} if after is not None else None, value)
    return root


def _step(inner: Any, part: str, made: dict[str, Any] | None, value: Any) -> Any:
    """Go down to `part`, which is `made` where it is missing; at the end of the path (`made` None) put the value."""
    if isinstance(inner, list):
        if not part.isdigit() or int(part) > len(inner):
            raise PathError(f"no place {part} in a list")
        key: Any = int(part)
        if key == len(inner):
            inner.append(made)
    elif isinstance(inner, dict):
        key = part
        if key not in inner:
            inner[key] = made
    else:
        raise PathError("not a container")
    if made is None:
        inner[key] = deepcopy(value)
    return inner[key]


@given(CONTEXT, MOVES)
@example({}, [("write", "a.b", 1), ("share", "a", 0), ("write", "a.b", 2)])
@example({}, [("write", "a.b", 1), ("share", "payload", 0), ("write", "a.b", 2)])
@example({}, [("write", "a.b", 1), ("fork", "a", 0), ("write", "a.b", 2)])
@example({}, [("write", "a.b", 1), ("stay", "a", 0), ("write", "a.b", 2)])
def test_later_writes_change_nothing_that_was_shared_or_forked(
    context: dict[str, Any], moves: list[tuple[str, str, Any]]
) -> None:
    before = deepcopy(context)
    frame, model = Frame(context), context
    kept: list[tuple[Any, Any]] = [(context, before)]
    for move, path, value in moves:
        if move == "share":
            shared = frame.share(path)
            kept.append((shared, shared if shared is MISSING else deepcopy(shared)))
        elif move in ("fork", "stay"):
            forked = frame.fork()
            frame, other = (forked, frame) if move == "fork" else (frame, forked)
            kept.append((other.root, deepcopy(other.root)))
        else:
            model = written(frame, model, path, value)
        assert frame.root == model
    assert all(now == then for now, then in kept)


def written(frame: Frame, model: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Write to the frame and to its model: both do it, or both refuse and are as they were."""
    try:
        changed = put(model, path, value)
    except PathError:
        with pytest.raises(PathError):
            frame.write(path, deepcopy(value))
        return model
    frame.write(path, deepcopy(value))
    return changed


@given(CONTEXT, st.lists(st.tuples(st.one_of(PATH, st.sampled_from(["payload", "a.00", "a.01.b"])), VALUE), max_size=8))
@example({"a": 3}, [("a", [1]), ("a.1", 2), ("a", 7)])
@example({"a": [1, 2]}, [("a.02.x", 1), ("a.3", 5), ("a.2", 7)])
@example({"a": [1, 2]}, [("a.2.x", 1), ("a.3", 5), ("a.2", 7)])
def test_the_journal_of_a_frame_leads_from_what_it_was_when_that_began_to_what_it_is(
    context: dict[str, Any], writes: list[tuple[str, Any]]
) -> None:
    frame, again, model = Frame(deepcopy(context)), Frame(deepcopy(context)), context
    frame.begin_journal()
    again.begin_journal()
    for path, value in writes:
        model = written(frame, model, path, value)
    for path, value in frame.changes():
        again.write(path, value)
    assert again.root == model
    assert again.changes() == frame.changes()


def test_a_copy_shares_nothing_that_can_change() -> None:
    value: dict[str, Any] = {"a": [1, {"b": [2]}], "c": {"d": 3}}
    copied = copy(value)
    assert copied == value
    containers = [(value, copied), *((value[key], copied[key]) for key in value)]
    containers += [(value["a"][1], copied["a"][1]), (value["a"][1]["b"], copied["a"][1]["b"])]
    assert not [one for one, other in containers if one is other]


def test_a_missing_path_and_one_through_a_value_are_missing() -> None:
    frame = Frame({"a": [{"b": 1}], "t": "text"})
    assert frame.get("a.0.b") == 1
    assert {frame.get(path) for path in ("a.1", "a.x", "a.0.c", "t.0", "z.z")} == {MISSING}
    assert not MISSING
    assert read(frame.root, ()) is frame.root
