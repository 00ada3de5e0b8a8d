"""Every built-in stage does what StageFlow's of that name does, where an argument that was missing and one that was
null are told apart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.errors import RuleError
from stageflow_es.stages import builtin, get_stage
from tests.unit.stages.fake_runtime import FakeRuntime, bound

FAMILIES = {
    "builtin.vars": {"SetValueStage", "CopyValueStage", "IncrementStage", "MergeDictStage"},
    "builtin.dicts": {"PickKeysStage", "DropKeysStage"},
    "builtin.lists": {"AppendListStage", "ExtendListStage", "FilterListStage", "UniqueListStage", "PopListStage"},
    "builtin.strings": {"ConcatStage", "TemplateStage"},
    "builtin.logic": {"AssertStage", "FailStage", "LogStage", "SleepStage"},
}

SIGNATURES: dict[str, tuple[list[str], list[str], list[str]]] = {
    "SetValueStage": (["value"], ["value"], ["value"]),
    "CopyValueStage": (["value"], ["default"], ["value"]),
    "IncrementStage": (["current", "delta"], ["delta"], ["value"]),
    "MergeDictStage": (["src", "dst"], ["default_dst"], ["merged"]),
    "PickKeysStage": (["src"], ["keys"], ["result"]),
    "DropKeysStage": (["src"], ["keys"], ["result"]),
    "AppendListStage": (["list", "value"], ["value"], ["list"]),
    "ExtendListStage": (["list", "items"], ["default_list"], ["list"]),
    "FilterListStage": (["items"], ["condition", "item_path"], ["list"]),
    "UniqueListStage": (["items"], [], ["list"]),
    "PopListStage": (["items", "index"], ["index"], ["list", "popped"]),
    "ConcatStage": (["parts", "separator"], ["parts", "separator", "output_key"], ["value"]),
    "TemplateStage": (["template"], ["template", "output_key", "values"], ["value"]),
    "AssertStage": ([], ["condition", "message"], []),
    "FailStage": ([], ["message"], []),
    "LogStage": ([], ["message", "paths"], []),
    "SleepStage": ([], ["seconds"], []),
}


async def ran(name: str, payload: dict[str, Any], config: dict[str, Any], arguments: dict[str, str]) -> FakeRuntime:
    stage, runtime = bound(get_stage(name), payload=payload, config=config, arguments=arguments)
    await stage.run()
    return runtime


def test_there_are_seventeen_in_the_categories_stageflow_puts_them_in() -> None:
    found = {
        family: {name for name in names if get_stage(name).category == family} for family, names in FAMILIES.items()
    }

    assert found == FAMILIES
    assert sorted(builtin.__all__) == sorted(name for names in FAMILIES.values() for name in names)


@pytest.mark.parametrize("name", SIGNATURES)
def test_arguments_config_and_outputs_have_stageflows_names(name: str) -> None:
    specs = get_stage(name).get_specs()

    assert (
        tuple([field["name"] for field in specs[key]] for key in ("arguments", "config", "outputs")) == SIGNATURES[name]
    )


A = {"value": "a"}
NOT_THERE = {"value": "nowhere"}

OUTPUTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, str], dict[str, Any]]] = [
    # name, context, config, arguments, outputs
    ("SetValueStage", {}, {"value": 1}, {}, {"value": 1}),
    ("SetValueStage", {}, {"value": None}, {}, {"value": None}),
    ("SetValueStage", {"a": 2}, {"value": 1}, A, {"value": 2}),
    ("SetValueStage", {"a": None}, {"value": 1}, A, {"value": None}),
    ("SetValueStage", {}, {"value": 1}, NOT_THERE, {"value": 1}),
    ("SetValueStage", {}, {}, NOT_THERE, {"value": None}),
    ("CopyValueStage", {"a": {"b": [1]}}, {}, A, {"value": {"b": [1]}}),
    ("CopyValueStage", {"a": None}, {"default": 1}, A, {"value": None}),
    ("CopyValueStage", {}, {"default": 1}, NOT_THERE, {"value": 1}),
    ("CopyValueStage", {}, {}, {}, {"value": None}),
    ("IncrementStage", {"a": 1}, {}, {"current": "a"}, {"value": 2}),
    ("IncrementStage", {"a": 1}, {"delta": 2.5}, {"current": "a"}, {"value": 3.5}),
    ("IncrementStage", {"a": 1, "d": -4}, {"delta": 2}, {"current": "a", "delta": "d"}, {"value": -3}),
    ("IncrementStage", {}, {"delta": 2}, {"current": "nowhere", "delta": "nowhere"}, {"value": 2}),
    (
        "MergeDictStage",
        {"s": {"x": 1}, "d": {"x": 0, "y": 2}},
        {},
        {"src": "s", "dst": "d"},
        {"merged": {"x": 1, "y": 2}},
    ),
    (
        "MergeDictStage",
        {"s": {"x": {"p": 1}}, "d": {"x": {"q": 2}}},
        {},
        {"src": "s", "dst": "d"},
        {"merged": {"x": {"p": 1}}},
    ),
    (
        "MergeDictStage",
        {"s": {"x": 1}},
        {"default_dst": {"y": 2}},
        {"src": "s", "dst": "d"},
        {"merged": {"y": 2, "x": 1}},
    ),
    ("MergeDictStage", {"d": None}, {"default_dst": {"y": 2}}, {"dst": "d"}, {"merged": {}}),
    (
        "PickKeysStage",
        {"a": {"x": 1, "y": 2}},
        {"keys": ["y", "z", "x", ["x"], 1]},
        {"src": "a"},
        {"result": {"y": 2, "x": 1}},
    ),
    ("PickKeysStage", {"a": None}, {"keys": ["y"]}, {"src": "a"}, {"result": {}}),
    ("DropKeysStage", {"a": {"x": 1, "y": 2}}, {"keys": ["y", "z", ["x"]]}, {"src": "a"}, {"result": {"x": 1}}),
    ("DropKeysStage", {"a": {"x": 1}}, {}, {"src": "a"}, {"result": {"x": 1}}),
    ("AppendListStage", {"l": [1]}, {"value": 2}, {"list": "l"}, {"list": [1, 2]}),
    ("AppendListStage", {"l": None, "v": None}, {"value": 2}, {"list": "l", "value": "v"}, {"list": [None]}),
    ("AppendListStage", {}, {"value": 2}, {"list": "l", "value": "v"}, {"list": [2]}),
    (
        "ExtendListStage",
        {"l": [1], "i": [2, 3]},
        {"default_list": [9]},
        {"list": "l", "items": "i"},
        {"list": [1, 2, 3]},
    ),
    ("ExtendListStage", {"i": [2]}, {"default_list": [9]}, {"list": "l", "items": "i"}, {"list": [9, 2]}),
    ("ExtendListStage", {"l": None}, {"default_list": [9]}, {"list": "l", "items": "i"}, {"list": []}),
    (
        "FilterListStage",
        {"l": [0, 5, 2], "m": 2},
        {"condition": {">=": [{"var": "item"}, {"var": "payload.m"}]}},
        {"items": "l"},
        {"list": [5, 2]},
    ),
    (
        "FilterListStage",
        {"l": [{"n": 1}, {"n": 0}]},
        {"condition": {"var": "it.now.n"}, "item_path": "it.now"},
        {"items": "l"},
        {"list": [{"n": 1}]},
    ),
    ("FilterListStage", {}, {"condition": {"var": "item"}}, {"items": "nowhere"}, {"list": []}),
    ("UniqueListStage", {"l": [1, 1.0, True, "1", True, 1]}, {}, {"items": "l"}, {"list": [1, True, "1"]}),
    (
        "UniqueListStage",
        {"l": [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}, [1], [True], None, None]},
        {},
        {"items": "l"},
        {"list": [{"a": 1, "b": [2]}, [1], [True], None]},
    ),
    (
        "UniqueListStage",
        {"l": [1e300, 1e300, 2**70, 2**70 + 1, 0, -0.0]},
        {},
        {"items": "l"},
        {"list": [1e300, 2**70, 2**70 + 1, 0]},
    ),
    ("PopListStage", {"l": [1, 2, 3]}, {}, {"items": "l"}, {"list": [1, 2], "popped": 3}),
    (
        "PopListStage",
        {"l": [1, 2, 3], "i": 0},
        {"index": 1},
        {"items": "l", "index": "i"},
        {"list": [2, 3], "popped": 1},
    ),
    ("PopListStage", {"l": [1, 2, 3]}, {"index": 1}, {"items": "l", "index": "nowhere"}, {"list": [1, 3], "popped": 2}),
    ("PopListStage", {"l": []}, {"index": 7}, {"items": "l"}, {}),
    (
        "ConcatStage",
        {"a": {"b": "x"}},
        {"parts": ["a.b", "payload.a.b", "a.c", "!", ""], "separator": "-"},
        {},
        {"value": "x-x-a.c-!-"},
    ),
    (
        "ConcatStage",
        {"n": None, "l": [1, "x"]},
        {"parts": ["n", "l", 1, 2.5, True, None, {"k": 1}], "separator": " "},
        {},
        {"value": "None [1, 'x'] 1 2.5 True None {'k': 1}"},
    ),
    (
        "ConcatStage",
        {"p": ["x", "y"], "s": "+"},
        {"parts": ["z"], "separator": "-", "output_key": "sum"},
        {"parts": "p", "separator": "s"},
        {"sum": "x+y"},
    ),
    ("ConcatStage", {}, {}, {}, {"value": ""}),
    (
        "TemplateStage",
        {"a": {"b": "x"}},
        {"template": "{v}{{}}{w}", "values": {"v": "a.b", "w": "nowhere"}},
        {},
        {"value": "x{}None"},
    ),
    (
        "TemplateStage",
        {"t": "hi {v[k]}", "a": {"k": 1}},
        {"values": {"v": "a"}, "output_key": "text"},
        {"template": "t"},
        {"text": "hi 1"},
    ),
    ("TemplateStage", {"t": "argument"}, {"template": "config"}, {"template": "t"}, {"value": "config"}),
    ("AssertStage", {"a": 1}, {"condition": {"==": [{"var": "payload.a"}, 1]}}, {}, {}),
]


@pytest.mark.parametrize(("name", "payload", "config", "arguments", "outputs"), OUTPUTS)
async def test_a_built_in_gives_its_outputs_and_leaves_the_context_alone(
    name: str, payload: dict[str, Any], config: dict[str, Any], arguments: dict[str, str], outputs: dict[str, Any]
) -> None:
    runtime = await ran(name, payload, config, arguments)

    assert repr(runtime.outputs) == repr(outputs), "by repr: 1 equals True and 1.0 otherwise"
    assert runtime.session.context.payload == payload


FAILURES: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, str], type[Exception], str]] = [
    ("SetValueStage", {}, {}, {}, ValueError, "needs a value"),
    ("IncrementStage", {"a": True}, {}, {"current": "a"}, ValueError, "current must be a number, not a boolean"),
    ("IncrementStage", {"a": None}, {}, {"current": "a"}, ValueError, "current must be a number, not null"),
    ("IncrementStage", {}, {"delta": "1"}, {}, ValueError, "delta must be a number, not a text"),
    ("IncrementStage", {"a": 1e308}, {"delta": 1e308}, {"current": "a"}, ValueError, "too large"),
    ("IncrementStage", {"a": 10**400}, {"delta": 0.5}, {"current": "a"}, ValueError, "too large"),
    ("MergeDictStage", {"s": [1]}, {}, {"src": "s"}, ValueError, "src must be an object, not a list"),
    ("MergeDictStage", {}, {"default_dst": 5}, {}, ValueError, "dst must be an object, not a whole number"),
    ("PickKeysStage", {"a": "x"}, {"keys": []}, {"src": "a"}, ValueError, "src must be an object, not a text"),
    ("DropKeysStage", {"a": {}}, {"keys": "x"}, {"src": "a"}, ValueError, "keys must be a list, not a text"),
    ("AppendListStage", {"l": "x"}, {"value": 1}, {"list": "l"}, ValueError, "list must be a list, not a text"),
    ("ExtendListStage", {"i": {}}, {}, {"items": "i"}, ValueError, "items must be a list, not an object"),
    ("FilterListStage", {"l": [1]}, {}, {"items": "l"}, ValueError, "needs a condition"),
    ("FilterListStage", {"l": [1]}, {"condition": {"nope": 1}}, {"items": "l"}, RuleError, "nope"),
    ("UniqueListStage", {"l": None}, {}, {"items": "l"}, ValueError, "items must be a list, not null"),
    ("PopListStage", {"l": [1]}, {"index": 1}, {"items": "l"}, ValueError, "a list of 1 has no item 1"),
    ("PopListStage", {"l": [1]}, {"index": -2}, {"items": "l"}, ValueError, "a list of 1 has no item -2"),
    (
        "PopListStage",
        {"l": [1]},
        {"index": 0.5},
        {"items": "l"},
        ValueError,
        "index must be a whole number, not a number",
    ),
    (
        "PopListStage",
        {"l": [1]},
        {"index": False},
        {"items": "l"},
        ValueError,
        "index must be a whole number, not a boolean",
    ),
    ("ConcatStage", {}, {"parts": "ab"}, {}, ValueError, "parts must be a list, not a text"),
    ("ConcatStage", {"s": None}, {}, {"separator": "s"}, ValueError, "separator must be a text, not null"),
    ("TemplateStage", {}, {}, {}, ValueError, "needs a template"),
    ("TemplateStage", {"a": 1}, {"template": "{v.__class__}", "values": {"v": "a"}}, {}, RuleError, "__class__"),
    ("AssertStage", {}, {}, {}, ValueError, "needs a condition"),
    ("AssertStage", {"a": 0}, {"condition": {"var": "a"}, "message": "a is off"}, {}, AssertionError, "a is off"),
    ("AssertStage", {}, {"condition": False}, {}, AssertionError, "assertion failed"),
    ("FailStage", {}, {"message": "no"}, {}, RuntimeError, "no"),
    ("FailStage", {}, {}, {}, RuntimeError, "fail"),
    ("LogStage", {}, {"paths": ["a"]}, {}, ValueError, "paths must be an object, not a list"),
    ("LogStage", {}, {"paths": {"x": None}}, {}, ValueError, "the context path of 'x' must be a text, not null"),
    ("ConcatStage", {}, {"output_key": ["v"]}, {}, ValueError, "output_key must be a text, not a list"),
    (
        "TemplateStage",
        {},
        {"template": "t", "output_key": {}},
        {},
        ValueError,
        "output_key must be a text, not an object",
    ),
    (
        "TemplateStage",
        {},
        {"template": "t", "values": {"a": 1}},
        {},
        ValueError,
        "path of 'a' must be a text, not a whole",
    ),
    ("SleepStage", {}, {"seconds": True}, {}, ValueError, "seconds must be a number, not a boolean"),
]


@pytest.mark.parametrize(("name", "payload", "config", "arguments", "error", "message"), FAILURES)
async def test_a_built_in_that_cannot_do_its_work_says_why(
    name: str,
    payload: dict[str, Any],
    config: dict[str, Any],
    arguments: dict[str, str],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        await ran(name, payload, config, arguments)


@pytest.mark.parametrize("path", ["item", "a.b", "list.0", "payload.x", "payload.payload.x", "rows.1"])
async def test_filter_finds_its_item_bare_and_under_payload_wherever_it_is_put(path: str) -> None:
    bare = path.removeprefix("payload.")
    rule = {"and": [{">": [{"var": f"payload.{bare}"}, 1]}, {"==": [{"var": f"payload.{bare}"}, {"var": bare}]}]}
    rule = rule if not bare.startswith("payload") else {">": [{"var": f"payload.{bare}"}, 1]}
    payload = {"l": [1, 2, 3], "list": [0], "a": {"c": 1}, "rows": [1]}
    runtime = await ran("FilterListStage", payload, {"condition": rule, "item_path": path}, {"items": "l"})
    assert runtime.outputs == {"list": [2, 3]}


async def test_filter_can_put_its_item_in_place_of_the_whole_context() -> None:
    config = {"condition": {"var": "on"}, "item_path": "payload"}
    runtime = await ran("FilterListStage", {"l": [{"on": True}, {"off": 1}]}, config, {"items": "l"})
    assert runtime.outputs == {"list": [{"on": True}]}


async def test_filter_lets_others_have_their_turn_and_is_ended_by_a_timeout() -> None:
    slow = {"some": [list(range(2000)), {"==": [{"var": ""}, -1]}]}
    config = {"condition": slow}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ran("FilterListStage", {"l": [0] * 100_000}, config, {"items": "l"}), 0.05)


async def test_log_records_a_message_and_values_and_null_where_there_is_none() -> None:
    runtime = await ran("LogStage", {"a": {"b": 1}}, {"message": "m", "paths": {"x": "a.b", "y": "nowhere"}}, {})

    assert runtime.asked == [("emit", "log", {"message": "m", "x": 1, "y": None})]


@pytest.mark.parametrize(("config", "asked"), [({"seconds": 1.5}, [("sleep", 1.5)]), ({"seconds": 0}, []), ({}, [])])
async def test_the_sleep_stage_asks_for_a_durable_sleep(config: dict[str, Any], asked: list[Any]) -> None:
    assert (await ran("SleepStage", {}, config, {})).asked == asked


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, 1.5]) | st.sampled_from(["", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=5,
)


def same(a: Any, b: Any) -> bool:
    """Equality of JSON values, written without the encoding the stage uses."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return isinstance(a, bool) is isinstance(b, bool) and bool(a == b)


@given(st.lists(JSON, max_size=8))
async def test_unique_keeps_the_first_of_equal_items(items: list[Any]) -> None:
    first = [item for i, item in enumerate(items) if not any(same(item, earlier) for earlier in items[:i])]

    assert repr((await ran("UniqueListStage", {"l": items}, {}, {"items": "l"})).outputs) == repr({"list": first})


@given(st.dictionaries(st.sampled_from("abcd"), JSON), st.lists(st.sampled_from("abcde")))
async def test_pick_and_drop_share_an_object_out(source: dict[str, Any], keys: list[str]) -> None:
    picked = (await ran("PickKeysStage", {"o": source}, {"keys": keys}, {"src": "o"})).outputs["result"]
    dropped = (await ran("DropKeysStage", {"o": source}, {"keys": keys}, {"src": "o"})).outputs["result"]

    assert picked.keys() == source.keys() & set(keys)
    assert picked.keys().isdisjoint(dropped)
    assert {**picked, **dropped} == source
