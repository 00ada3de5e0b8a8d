"""Every built-in stage, in a session of this process: what goes in, what comes out, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es import Context, Pipeline, Session, SessionFailed

Mapping = dict[str, str]


async def outputs_of(
    stage: str, config: dict[str, Any], arguments: Mapping, outputs: Mapping, payload: dict[str, Any]
) -> dict[str, Any]:
    nodes = [
        {
            "id": "s",
            "type": "stage",
            "stage": stage,
            "config": config,
            "arguments": arguments,
            "outputs": outputs,
            "next": "end",
        },
        {"id": "end", "type": "terminal", "artifacts": list(outputs.values())},
    ]
    pipeline = Pipeline.from_dict({"entry": "s", "nodes": nodes})
    return (await Session("s", pipeline, Context(payload)).run()).artifacts


VALUE, LIST = {"value": "out"}, {"list": "out"}

CASES: list[tuple[str, dict[str, Any], Mapping, Mapping, dict[str, Any], Any]] = [
    ("SetValueStage", {"value": 1}, {}, VALUE, {}, 1),
    ("SetValueStage", {"value": 1}, {"value": "a"}, VALUE, {"a": 2}, 2),
    ("SetValueStage", {"value": 1}, {"value": "a"}, VALUE, {"a": None}, None),
    ("SetValueStage", {"value": 1}, {"value": "a"}, VALUE, {}, 1),
    ("SetValueStage", {"value": None}, {}, VALUE, {}, None),
    ("CopyValueStage", {}, {"value": "a.b"}, VALUE, {"a": {"b": [1]}}, [1]),
    ("CopyValueStage", {"default": 7}, {"value": "a"}, VALUE, {}, 7),
    ("CopyValueStage", {}, {"value": "a"}, VALUE, {}, None),
    ("IncrementStage", {}, {"current": "n"}, VALUE, {"n": 4}, 5),
    ("IncrementStage", {"delta": -2}, {"current": "n"}, VALUE, {"n": 4}, 2),
    ("IncrementStage", {"delta": 1}, {"current": "n", "delta": "d"}, VALUE, {"n": 1, "d": 0.5}, 1.5),
    ("IncrementStage", {}, {"current": "n"}, VALUE, {}, 1),
    (
        "MergeDictStage",
        {},
        {"src": "s", "dst": "d"},
        {"merged": "out"},
        {"s": {"x": 1}, "d": {"x": 0, "y": 2}},
        {"x": 1, "y": 2},
    ),
    ("MergeDictStage", {"default_dst": {"z": 1}}, {"src": "s", "dst": "d"}, {"merged": "out"}, {}, {"z": 1}),
    ("AppendListStage", {"value": 3}, {"list": "l"}, LIST, {"l": [1]}, [1, 3]),
    ("AppendListStage", {"value": 3}, {"list": "l", "value": "v"}, LIST, {"l": None, "v": 4}, [4]),
    ("AppendListStage", {"value": 3}, {}, LIST, {}, [3]),
    ("ExtendListStage", {}, {"list": "l", "items": "i"}, LIST, {"l": [1], "i": [2, 3]}, [1, 2, 3]),
    ("ExtendListStage", {"default_list": [0]}, {"list": "l", "items": "i"}, LIST, {"i": [1]}, [0, 1]),
    (
        "FilterListStage",
        {"condition": {">": [{"var": "item"}, {"var": "least"}]}},
        {"items": "l"},
        LIST,
        {"l": [1, 5, 3], "least": 2},
        [5, 3],
    ),
    (
        "FilterListStage",
        {"condition": {"var": "row.keep"}, "item_path": "row"},
        {"items": "l"},
        LIST,
        {"l": [{"keep": True}, {"keep": False}]},
        [{"keep": True}],
    ),
    ("FilterListStage", {"condition": {"==": [{"var": "item"}, 0]}}, {"items": "l"}, LIST, {"l": [0, 1, 0]}, [0, 0]),
    ("UniqueListStage", {}, {"items": "l"}, LIST, {"l": [2, 1, 2, 1.0, True, "1"]}, [2, 1, True, "1"]),
    ("UniqueListStage", {}, {"items": "l"}, LIST, {"l": [{"a": 1}, {"a": 1.0}, [1], [1]]}, [{"a": 1}, [1]]),
    ("PopListStage", {}, {"items": "l"}, {"popped": "out"}, {"l": [1, 2]}, 2),
    ("PopListStage", {"index": 0}, {"items": "l"}, {"popped": "out"}, {"l": [1, 2]}, 1),
    ("PopListStage", {"index": 0}, {"items": "l", "index": "i"}, LIST, {"l": [1, 2], "i": 1}, [1]),
    ("PopListStage", {}, {"items": "l"}, {"popped": "out"}, {"l": []}, None),
    ("PickKeysStage", {"keys": ["b", "x"]}, {"src": "d"}, {"result": "out"}, {"d": {"a": 1, "b": 2}}, {"b": 2}),
    ("PickKeysStage", {"keys": ["b"]}, {"src": "d"}, {"result": "out"}, {"d": None}, {}),
    ("DropKeysStage", {"keys": ["b", "x"]}, {"src": "d"}, {"result": "out"}, {"d": {"a": 1, "b": 2}}, {"a": 1}),
    ("ConcatStage", {"parts": ["a", "-", 1]}, {}, VALUE, {"a": "A"}, "A-1"),
    ("ConcatStage", {"separator": ","}, {"parts": "p"}, VALUE, {"p": ["x", "y"]}, "x,y"),
    ("ConcatStage", {"parts": ["a", "b"]}, {"separator": "s"}, VALUE, {"s": "+"}, "a+b"),
    ("ConcatStage", {"parts": ["a"], "output_key": "text"}, {}, {"text": "out"}, {}, "a"),
    ("TemplateStage", {"template": "Hi {who}!", "values": {"who": "name"}}, {}, VALUE, {"name": "Ada"}, "Hi Ada!"),
    ("TemplateStage", {"values": {"o": "o"}}, {"template": "t"}, VALUE, {"t": "{o[n]:.1f}", "o": {"n": 2}}, "2.0"),
]


@pytest.mark.parametrize(("stage", "config", "arguments", "outputs", "payload", "expected"), CASES)
async def test_a_built_in_gives(
    stage: str, config: dict[str, Any], arguments: Mapping, outputs: Mapping, payload: dict[str, Any], expected: Any
) -> None:
    result = await outputs_of(stage, config, arguments, outputs, payload)
    assert result == {"out": expected}
    assert type(result["out"]) is type(expected)


FAILURES: list[tuple[str, dict[str, Any], Mapping, dict[str, Any], str]] = [
    ("SetValueStage", {}, {}, {}, "needs a value"),
    ("SetValueStage", {}, {"value": "a"}, {}, "needs a value"),
    ("IncrementStage", {}, {"current": "n"}, {"n": "4"}, "current must be a int, not str"),
    ("IncrementStage", {}, {"current": "n"}, {"n": None}, "not null"),
    ("MergeDictStage", {}, {"src": "s"}, {"s": [1]}, "src must be a dict"),
    ("AppendListStage", {"value": 1}, {"list": "l"}, {"l": "text"}, "list must be a list"),
    ("ExtendListStage", {}, {"items": "i"}, {"i": 3}, "items must be a list"),
    ("FilterListStage", {}, {"items": "l"}, {"l": []}, "needs a condition"),
    ("FilterListStage", {"condition": {"nope": 1}}, {"items": "l"}, {"l": [1]}, "nope"),
    ("UniqueListStage", {}, {"items": "l"}, {"l": {}}, "items must be a list"),
    ("PopListStage", {"index": 5}, {"items": "l"}, {"l": [1]}, "no item 5"),
    ("PopListStage", {"index": "0"}, {"items": "l"}, {"l": [1]}, "index must be a int"),
    ("PickKeysStage", {"keys": ["a"]}, {"src": "d"}, {"d": [1]}, "src must be a dict"),
    ("DropKeysStage", {"keys": "a"}, {"src": "d"}, {"d": {}}, "keys must be a list"),
    ("ConcatStage", {"parts": "ab"}, {}, {}, "parts must be a list"),
    ("TemplateStage", {}, {}, {}, "needs a template"),
    ("TemplateStage", {"template": "{who.__class__}", "values": {"who": "a"}}, {}, {"a": 1}, ""),
    ("AssertStage", {"condition": {"var": "ok"}, "message": "not ok"}, {}, {"ok": False}, "not ok"),
    ("AssertStage", {"condition": {"var": "ok"}}, {}, {}, "assertion failed"),
    ("AssertStage", {}, {}, {}, "needs a condition"),
    ("FailStage", {"message": "on purpose"}, {}, {}, "on purpose"),
    ("FailStage", {}, {}, {}, "fail"),
    ("SleepStage", {"seconds": "1"}, {}, {}, "seconds must be a int"),
    ("LogStage", {"paths": ["a"]}, {}, {}, "paths must be a dict"),
]


@pytest.mark.parametrize(("stage", "config", "arguments", "payload", "message"), FAILURES)
async def test_a_built_in_refuses(
    stage: str, config: dict[str, Any], arguments: Mapping, payload: dict[str, Any], message: str
) -> None:
    with pytest.raises(SessionFailed, match=message):
        await outputs_of(stage, config, arguments, {}, payload)


async def test_an_assertion_that_holds_lets_the_pipeline_go_on() -> None:
    assert await outputs_of("AssertStage", {"condition": {"var": "ok"}}, {}, {}, {"ok": 1}) == {}


async def test_a_log_stage_records_its_message_and_the_values_it_names() -> None:
    nodes = [
        {
            "id": "s",
            "type": "stage",
            "stage": "LogStage",
            "config": {"message": "here", "paths": {"who": "user.name"}},
            "next": "end",
        },
        {"id": "end", "type": "terminal"},
    ]
    session = Session("s", Pipeline.from_dict({"entry": "s", "nodes": nodes}), Context({"user": {"name": "Ada"}}))
    history = (await session.run()).history
    assert [event.payload for event in history if event.type == "log"] == [{"message": "here", "who": "Ada"}]


async def test_a_sleep_is_a_timer_of_the_session() -> None:
    nodes = [
        {"id": "s", "type": "stage", "stage": "SleepStage", "config": {"seconds": 0.01}, "next": "end"},
        {"id": "end", "type": "terminal"},
    ]
    session = Session("s", Pipeline.from_dict({"entry": "s", "nodes": nodes}))
    types = [event.type for event in (await session.run()).history]
    assert types[1:3] == ["timer_set", "timer_fired"]
