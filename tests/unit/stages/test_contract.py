"""What a stage class declares: docstrings, payload schemas, the registry; and the objects its users hold."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, Optional

import pytest

from stageflow_es import (
    BaseStage,
    Context,
    DotDict,
    Event,
    EventSpec,
    InputSpec,
    PathError,
    get_stage,
    get_stages,
    get_stages_by_category,
    register_stage,
    validate_schema,
)
from stageflow_es.stages.docstring import describe
from stageflow_es.stages.payload_schema import is_json_schema, to_json_schema

# --- docstrings ---


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{a: {type: int, optional: true, description: x, default: 3}}", [("a", "int", True, "x")]),
        ("{a: string, b: list[int]}", [("a", "string", False, ""), ("b", "list[int]", False, "")]),
        ("[a, b]", [("a", "any", False, ""), ("b", "any", False, "")]),
        ("[{a: string}, {b: {type: int}}]", [("a", "string", False, ""), ("b", "int", False, "")]),
        ("[{name: a, type: string}]", [("a", "string", False, "")]),
        ("{a: , b: {description: x}}", [("a", "any", False, ""), ("b", "any", False, "x")]),
        ("{}", []),
        ("[]", []),
    ],
)
def test_fields_are_read_in_every_shape(section: str, expected: list[tuple[str, str, bool, str]]) -> None:
    fields = describe(f"description: d\narguments: {section}").arguments
    assert fields is not None
    assert [(each["name"], each["type"], each["optional"], each["description"]) for each in fields] == expected


def test_a_section_that_is_not_there_says_nothing() -> None:
    described = describe("description: d\noutputs: {}")
    assert (described.arguments, described.config, described.outputs) == (None, None, [])


@pytest.mark.parametrize("text", ["Sends a mail.\n\nMore of it.", "Does: this: and that", "- a\n- b", ""])
def test_a_docstring_of_prose_documents_no_fields(text: str) -> None:
    assert describe(text).arguments is None


def test_get_specs_has_what_the_class_and_its_docstring_declare() -> None:
    class Documented(BaseStage):
        """
        description: "Does it"
        arguments: {a: string}
        """

        category = "demo"
        skipable = True
        allowed_events = [EventSpec(type="progress", description="p")]
        allowed_inputs = [{"type": "go"}]

    specs = Documented.get_specs()
    assert (specs["description"], specs["category"], specs["skipable"]) == ("Does it", "demo", True)
    assert specs["arguments"] == [{"name": "a", "type": "string", "optional": False, "description": ""}]
    assert specs["allowed_events"] == [{"type": "progress", "description": "p", "payload_schema": None}]
    assert specs["allowed_inputs"][0]["type"] == "go"


# --- payload schemas ---


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (int, 5, "5"),
        (int, 5, True),
        (float, 5, "5"),
        (str, "x", 1),
        (bool, True, 1),
        (dict, {}, []),
        (list, [], {}),
        (type(None), None, 0),
        (list[str], ["a"], ["a", 1]),
        (dict[str, int], {"a": 1}, {"a": "1"}),
        (Optional[int], None, "x"),  # noqa: UP045
        (int | str, "x", 1.5),
        ((int, str), 1, []),
        (Literal["a", "b"], "b", "c"),
        ([int], [1, 2], [1, "2"]),
        ([{"id": int}], [{"id": 1}], [{"id": "x"}]),
        ({"user": {"id": int, "tags": list[str]}}, {"user": {"id": 1, "tags": []}}, {"user": {"id": 1}}),
        ({"type": str}, {"type": "x"}, {}),
        ({"type": str, "required": bool}, {"type": "x", "required": True}, {"type": "x"}),
        ({"items": [int]}, {"items": [1]}, {"items": ["1"]}),
        ({"properties": {"id": int}}, {"properties": {"id": 1}}, {"properties": {}}),
        ({"type": "object", "required": ["a"]}, {"a": 1}, {}),
        ({"type": ["integer", "null"]}, None, "x"),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}, {"a": "x"}),
        ({"required": ["a"]}, {"a": 1}, {}),
        ({"enum": [1, 2]}, 2, 3),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "x"),
        ({"items": {"type": "integer"}}, [1], ["x"]),
        ({"minimum": 3}, 3, 2),
        ({"$ref": "#/$defs/n", "$defs": {"n": {"type": "integer"}}}, 1, "x"),
        ({"a": {"type": "string", "minLength": 2}}, {"a": "xx"}, {"a": "x"}),
    ],
)
def test_a_payload_schema_takes_and_refuses(schema: Any, good: Any, bad: Any) -> None:
    validate_schema(good, schema)
    with pytest.raises(ValueError, match="^payload"):
        validate_schema(bad, schema)


@pytest.mark.parametrize("schema", [None, Any, object])
def test_no_schema_takes_anything(schema: Any) -> None:
    validate_schema({"whatever": 1}, schema)
    assert to_json_schema(schema) is None


def test_a_shape_is_no_json_schema_however_its_fields_are_called() -> None:
    assert not is_json_schema({"type": str, "properties": {"a": int}, "enum": [str], "required": [int]})


def test_a_schema_problem_names_its_place() -> None:
    with pytest.raises(ValueError, match=r"^Input payload\.user\.tags\[1\]: "):
        validate_schema({"user": {"tags": ["a", 1]}}, {"user": {"tags": list[str]}}, "Input payload")


def test_a_json_schema_that_is_none_says_so() -> None:
    with pytest.raises(ValueError, match="no JSON Schema"):
        validate_schema({}, {"type": "object", "required": 3})


# --- a stage outside of a session ---


class _Recorder:
    id = "r"

    def __init__(self, payload: Any = None) -> None:
        self.emitted: list[Event] = []
        self.context = Context({"a": 1})
        self._payload = payload

    def emit(self, event: Event) -> None:
        self.emitted.append(event)

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any]:
        return {"type": type_, "payload": self._payload}


class _Limited(BaseStage):
    allowed_events = [EventSpec(type="ping", payload_schema={"n": int})]
    allowed_inputs = [InputSpec(type="only", payload_schema={"id": int})]


def _limited(session: _Recorder) -> _Limited:
    return _Limited(stage_id="s", config={}, arguments={"x": "a"}, outputs={"y": "b"}, session=session)


async def test_a_stage_reads_and_writes_through_a_session_of_ones_own() -> None:
    session = _Recorder()
    stage = _limited(session)
    assert stage.get_arguments() == {"x": 1}
    stage.set_outputs({"y": 2, "dropped": 3})
    assert session.context.to_dict() == {"a": 1, "b": 2}


async def test_only_declared_events_with_payloads_that_fit_are_emitted() -> None:
    session = _Recorder()
    stage = _limited(session)
    stage.emit("ping", {"n": 1})
    for name, payload in (("pong", {}), ("ping", {"n": "x"}), ("ping", {})):
        with pytest.raises(ValueError, match="pong|Event payload"):
            stage.emit(name, payload)
    assert [(event.type, event.stage_id) for event in session.emitted] == [("ping", "s")]


async def test_only_declared_inputs_with_payloads_that_fit_are_waited_for() -> None:
    assert await _limited(_Recorder({"id": 1})).wait_input("only") == {"type": "only", "payload": {"id": 1}}
    with pytest.raises(ValueError, match="Input payload"):
        await _limited(_Recorder({"id": "x"})).wait_input("only")
    with pytest.raises(ValueError, match="other"):
        await _limited(_Recorder()).wait_input("other")


# --- the registry ---


def test_a_name_is_registered_once() -> None:
    @register_stage("TestRegistryTaken")
    class First(BaseStage): ...

    with pytest.raises(ValueError, match="TestRegistryTaken"):

        @register_stage("TestRegistryTaken")
        class Second(BaseStage): ...

    assert get_stage("TestRegistryTaken") is First
    assert First.stage_name == "TestRegistryTaken"


def test_a_second_local_class_of_the_same_name_is_another_class() -> None:
    def make() -> type[BaseStage]:
        @register_stage("TestRegistryLocal")
        class Same(BaseStage): ...

        return Same

    make()
    with pytest.raises(ValueError, match="TestRegistryLocal"):
        make()


def test_an_unknown_stage_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="NoSuchStage"):
        get_stage("NoSuchStage")


def test_stages_are_listed_by_name_and_by_category() -> None:
    assert get_stages()["FailStage"].category == "builtin.logic"
    assert get_stages()["FailStage"] in get_stages_by_category()["builtin.logic"]

    @register_stage("TestRegistryDefault")
    class Plain(BaseStage): ...

    assert Plain in get_stages_by_category()["default"]


# --- events and contexts ---


def test_an_event_survives_the_round_trip() -> None:
    event = Event("t", "s", node_id="n", stage_id="g", action_id="a", payload={"x": 1}, timestamp=datetime.now(UTC))
    again = Event.from_dict(event.to_dict())
    assert vars(again) == vars(event)


def test_a_context_is_read_and_written_by_path() -> None:
    context = Context({"a": {"b": [1, {"c": 2}]}})
    assert context.get("a.b.1.c") == context.get("payload.a.b.1.c") == 2
    assert context.get("payload") == {"a": {"b": [1, {"c": 2}]}}
    assert (context.get("a.x"), context.get("a.x", 9), context.get("a.b.7", 9)) == (None, 9, 9)
    context.set("a.b.2", 3)
    context.set("new.deep", 4)
    context.set("payload.top", 5)
    assert context.to_dict() == {"a": {"b": [1, {"c": 2}, 3]}, "new": {"deep": 4}, "top": 5}


@pytest.mark.parametrize("path", ["a.b", "l.5", "l.x"])
def test_a_context_refuses_paths_that_lead_nowhere(path: str) -> None:
    context = Context({"a": 1, "l": [1]})
    with pytest.raises(PathError):
        context.set(path, 0)
    assert context.to_dict() == {"a": 1, "l": [1]}


def test_a_context_shares_nothing_with_what_it_was_given_or_gave() -> None:
    payload = {"a": {"b": 1}}
    context = Context(payload)
    context.set("a.b", 2)
    value = {"c": 1}
    context.set("v", value)
    value["c"] = 2
    context.to_dict()["a"]["b"] = 3
    assert payload == {"a": {"b": 1}}
    assert context.to_dict() == {"a": {"b": 2}, "v": {"c": 1}}


def test_a_context_survives_the_round_trip() -> None:
    assert Context.from_dict(Context({"a": [1]}).to_dict()).payload == {"a": [1]}


def test_a_dot_dict_is_read_and_changed_by_attribute() -> None:
    values = DotDict({"a": {"b": 1}})
    values.a.b = 2
    values.c = 3
    del values.c
    assert values == {"a": {"b": 2}}
    with pytest.raises(AttributeError, match="nope"):
        _ = values.nope
    with pytest.raises(AttributeError, match="nope"):
        del values.nope
