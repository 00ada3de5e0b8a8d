"""A stage behaves as StageFlow's users expect, bound to a runtime and with a bare session alike."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from stageflow_es.errors import StageError
from stageflow_es.stages import BaseStage, Context, Event, EventSpec, InputSpec
from tests.unit.stages.fake_runtime import FakeRuntime, bound


class Talkative(BaseStage):
    """Says what it likes."""

    stage_name = "Talkative"
    allowed_events = [
        EventSpec(type="progress", payload_schema={"step": int, "tags": list[str]}),
        EventSpec(type="bye"),
    ]
    allowed_inputs = [InputSpec(type="user", payload_schema={"user": {"id": int}}), InputSpec(type="any")]


class BareSession:
    """As little of a session as StageFlow's users give their stages in tests."""

    def __init__(self, answer: dict[str, Any] | None = None) -> None:
        self.id = "bare"
        self.events: list[Event] = []
        self.asked: list[tuple[str, float | None]] = []
        self._answer = answer

    def emit(self, event: Event) -> None:
        self.events.append(event)

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        self.asked.append((type_, timeout))
        return self._answer


def bare(session: Any, stage: type[BaseStage] = Talkative, **given: Any) -> BaseStage:
    return stage(**{"stage_id": "n", "config": {}, "arguments": {}, "outputs": {}, "session": session, **given})


# --- making one ---


def test_a_subclass_may_pass_its_arguments_through() -> None:
    class Own(BaseStage):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.made = self.stage_id

    stage, runtime = bound(Own, config={"a": 1})

    assert (stage.made, stage.config, stage.session) == ("n", {"a": 1}, runtime.session)


def test_arguments_can_be_read_while_a_stage_is_made() -> None:
    class Eager(BaseStage):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.seen = (self.get_arguments(), self.has_argument("x"), self.has_argument("y"))

    stage, _ = bound(Eager, payload={"a": None}, arguments={"x": "a", "y": "nowhere"})

    assert stage.seen == ({"x": None, "y": None}, True, False)


def test_a_stage_cannot_change_its_definition() -> None:
    config, paths = {"deep": {"list": [1]}}, {"x": "a"}
    stage = BaseStage.bind(stage_id="n", config=config, arguments=paths, outputs=paths, runtime=FakeRuntime({}, paths))

    stage.config["deep"]["list"].append(2)
    stage.arguments_paths["y"] = stage.outputs_paths["y"] = "b"

    assert (config, paths) == ({"deep": {"list": [1]}}, {"x": "a"})


async def test_a_stage_without_run_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Talkative"):
        await bound(Talkative)[0].run()


# --- data ---


def test_arguments_are_the_stages_own_copies() -> None:
    stage, runtime = bound(BaseStage, payload={"a": {"b": [1]}}, arguments={"x": "a", "y": "nowhere"})

    stage.get_arguments()["x"]["b"].append(2)

    assert stage.get_arguments() == {"x": {"b": [1]}, "y": None}
    assert runtime.session.context.payload == {"a": {"b": [1]}}


def test_a_stage_can_ask_whether_an_argument_was_there() -> None:
    stage, _ = bound(BaseStage, payload={"a": None}, arguments={"x": "a", "y": "nowhere"})

    assert [stage.has_argument(name) for name in ("x", "y", "unmapped")] == [True, False, False]


def test_outputs_go_to_the_runtime_call_by_call() -> None:
    stage, runtime = bound(BaseStage)

    stage.set_outputs({"a": 1, "b": 2})
    stage.set_outputs({"b": 3})

    assert runtime.outputs == {"a": 1, "b": 3}


def test_without_a_runtime_data_goes_to_and_from_the_sessions_context() -> None:
    session = SimpleNamespace(context=Context({"a": {"b": 1}, "null": None}))
    stage = bare(session, arguments={"x": "a", "n": "null", "y": "nowhere"}, outputs={"out": "c.d"})

    stage.get_arguments()["x"]["b"] = 9
    stage.set_outputs({"out": 2, "unmapped": 3})

    assert stage.get_arguments() == {"x": {"b": 1}, "n": None, "y": None}
    assert [stage.has_argument(name) for name in ("x", "n", "y", "unmapped")] == [True, True, False, False]
    assert session.context.to_dict() == {"a": {"b": 1}, "null": None, "c": {"d": 2}}


# --- events ---


def test_an_event_goes_to_the_runtime() -> None:
    stage, runtime = bound(Talkative)

    stage.emit("progress", {"step": 1, "tags": ("a", "b")})
    stage.emit("bye")

    assert runtime.asked == [("emit", "progress", {"step": 1, "tags": ("a", "b")}), ("emit", "bye", {})]


def test_a_bare_session_gets_an_event_object() -> None:
    session = BareSession()

    bare(session).emit("progress", {"step": 1, "tags": []})

    (event,) = session.events
    assert (event.type, event.session_id, event.stage_id, event.payload) == (
        "progress",
        "bare",
        "n",
        {"step": 1, "tags": []},
    )


@pytest.mark.parametrize(
    ("event", "payload", "message"),
    [
        ("other", {}, "Talkative.*does not declare the event 'other'"),
        ("progress", {"step": "x", "tags": []}, r"Event payload\.step: 'x' is not of type 'integer'"),
        ("progress", {"step": 1, "tags": ["a", 2]}, r"Event payload\.tags\[1\]"),
        ("progress", None, "'step' is a required property"),
    ],
)
def test_an_event_that_is_not_declared_so_is_refused_and_not_emitted(
    event: str, payload: dict[str, Any] | None, message: str
) -> None:
    stage, runtime = bound(Talkative)
    session = BareSession()

    with pytest.raises(ValueError, match=message):
        stage.emit(event, payload)
    with pytest.raises(ValueError, match=message):
        bare(session).emit(event, payload)

    assert runtime.asked == session.events == []


def test_a_stage_that_declares_no_events_may_emit_any() -> None:
    stage, runtime = bound(BaseStage)

    stage.emit("whatever", {"x": object})

    assert runtime.asked == [("emit", "whatever", {"x": object})]


# --- inputs ---


async def test_a_wait_hands_on_its_json_schema() -> None:
    answer = {"type": "user", "payload": {"user": {"id": 1}}}
    stage, runtime = bound(Talkative, answer=answer)

    assert await stage.wait_input("user", timeout=5) == answer
    assert await stage.wait_input("any") == answer

    fields = {"type": "object", "properties": {"id": {"type": "integer", "format": "int"}}, "required": ["id"]}
    schema = {"type": "object", "properties": {"user": fields}, "required": ["user"]}
    assert runtime.asked == [("wait_input", "user", 5, schema), ("wait_input", "any", None, None)]


async def test_a_wait_for_an_input_that_is_not_declared_is_refused() -> None:
    stage, runtime = bound(Talkative)

    with pytest.raises(ValueError, match="does not declare the input 'other'"):
        await stage.wait_input("other")

    assert runtime.asked == []


async def test_an_input_spec_without_a_type_allows_every_input() -> None:
    class Open(BaseStage):
        allowed_inputs = [InputSpec(description="whatever comes")]

    stage, runtime = bound(Open)
    await stage.wait_input("other")

    assert runtime.asked == [("wait_input", "other", None, None)]


async def test_a_bare_sessions_answer_is_checked_here() -> None:
    good, bad, none = (
        BareSession({"type": "user", "payload": {"user": {"id": value}}}) if value else BareSession()
        for value in (42, "x", None)
    )

    assert await bare(good).wait_input("user", timeout=3) == {"type": "user", "payload": {"user": {"id": 42}}}
    assert await bare(none).wait_input("user") is None
    with pytest.raises(ValueError, match=r"Input payload\.user\.id"):
        await bare(bad).wait_input("user")
    assert good.asked == [("user", 3)]


# --- durable calls ---


async def test_a_step_calls_coroutine_and_plain_functions() -> None:
    async def later(a: int, b: int) -> int:
        return a + b

    stage, runtime = bound(BaseStage)

    assert await stage.step("later", later, 1, 2) == 3
    assert await stage.step("now", max, 1, 2) == 2
    assert runtime.asked == [("step", "later"), ("step", "now")]


async def test_sleep_attempt_and_key_are_the_runtimes() -> None:
    stage, runtime = bound(BaseStage)

    await stage.sleep(2.5)

    assert runtime.asked == [("sleep", 2.5)]
    assert (stage.attempt, stage.idempotency_key) == (2, "s1:root:n:1")


async def test_what_cannot_be_durable_without_a_session_says_so() -> None:
    stage = bare(BareSession())

    assert stage.attempt == 1
    with pytest.raises(StageError, match="idempotency_key needs a running session"):
        _ = stage.idempotency_key
    with pytest.raises(StageError, match="sleep needs a running session"):
        await stage.sleep(1)
    with pytest.raises(StageError, match="step needs a running session"):
        await stage.step("s", max, 1, 2)


# --- what a class declares ---


def test_the_defaults_of_a_stage_class_are_stageflows() -> None:
    names = ["skipable", "stage_name", "category", "allowed_events", "allowed_inputs", "timeout", "retries"]
    added = ["retry_delay", "retry_backoff", "blocking"]

    assert [getattr(BaseStage, name) for name in names] == [False, "BaseStage", None, [], [], 30, 0]
    assert [getattr(BaseStage, name) for name in added] == [0, 1, False]


def test_specs_have_stageflows_shape_and_cannot_be_changed_through() -> None:
    class Documented(Talkative):
        """
        description: "Does it."
        arguments: {x: int}
        config: [{name: y, optional: true}]
        outputs: [z]
        """

        category = "mine"
        skipable = True

    specs = Documented.get_specs()
    specs["allowed_events"][0]["type"] = "changed"

    assert Documented.get_specs() == {
        "stage_name": "Talkative",
        "skipable": True,
        "category": "mine",
        "description": "Does it.",
        "allowed_events": [
            {"type": "progress", "description": None, "payload_schema": {"step": int, "tags": list[str]}},
            {"type": "bye", "description": None, "payload_schema": None},
        ],
        "allowed_inputs": [
            {
                "type": "user",
                "description": None,
                "required": True,
                "default": None,
                "payload_schema": {"user": {"id": int}},
            },
            {"type": "any", "description": None, "required": True, "default": None, "payload_schema": None},
        ],
        "arguments": [{"name": "x", "type": "int", "optional": False, "description": ""}],
        "config": [{"name": "y", "type": "any", "optional": True, "description": ""}],
        "outputs": [{"name": "z", "type": "any", "optional": False, "description": ""}],
    }
