"""Every built-in stage, in a session of this process: what goes in and what comes out."""

from __future__ import annotations

from typing import Any

import pytest

from stageflow_es import Context, Pipeline, Session

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
async def test_a_built_in_gives_its_value_to_the_pipeline(
    stage: str, config: dict[str, Any], arguments: Mapping, outputs: Mapping, payload: dict[str, Any], expected: Any
) -> None:
    result = await outputs_of(stage, config, arguments, outputs, payload)
    assert result == {"out": expected}
    assert type(result["out"]) is type(expected)


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
