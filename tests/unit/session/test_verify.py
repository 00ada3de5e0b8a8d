"""Verifying a history: what is said of the first event that does not follow."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import Pipeline, StageSpec
from stageflow_es.session import commands as cmd
from stageflow_es.session.fold import hash_of
from stageflow_es.session.verify import Broken, Verified, Verifier, verify
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    control,
    emits,
    failed,
    fires,
    interrupted,
    nothing,
    sent,
    sleeps,
    start,
    steps,
    waits,
)

CHOICE = {
    "entry": "ask",
    "nodes": [
        {"id": "ask", "type": "stage", "stage": "Ask", "outputs": {"n": "n"}, "next": "big", "fallback": "low"},
        {
            "id": "big",
            "type": "condition",
            "conditions": [{"if": {">": [{"var": "n"}, 10]}, "then": "high"}],
            "else": "low",
        },
        {"id": "high", "type": "terminal", "result": {"was": "high"}},
        {"id": "low", "type": "terminal", "result": {"was": "low"}, "artifacts": ["n"]},
    ],
}
SKIPABLE = {"Ask": StageSpec(stage_name="Ask", skipable=True)}


def low() -> Scenario:
    return Scenario(CHOICE).when(start(id="s-1"), completed(writes={"n": 5}), nothing())


def documents(scenario: Scenario) -> list[dict[str, Any]]:
    return [msgspec.json.decode(data) for data in scenario.history]


def chained(events: list[dict[str, Any]]) -> list[bytes]:
    stored: list[bytes] = []
    for n, event in enumerate(events, 1):
        prev = hash_of(stored[-1]) if stored else ""
        stored.append(msgspec.json.encode({**event, "n": n, "prev": prev}))
    return stored


def broken(pipeline: Pipeline, events: list[bytes], **known: Any) -> Broken:
    found = verify(pipeline, events, **known)
    assert isinstance(found, Broken)
    return found


def test_a_history_that_follows_is_verified_with_its_count_head_and_status() -> None:
    s = low()
    found = verify(s.pipeline, iter(s.history), session="s", head=s.state.head, count=5)
    assert found == Verified(session="s", digest=s.pipeline.digest, count=5, head=s.state.head, status="completed")
    assert found


def test_a_condition_that_went_the_other_way_is_found_with_both_ways() -> None:
    s = low()
    events = documents(s)
    events[2] = {**events[2], "branch": 0, "next": "high"}
    found = broken(s.pipeline, chained(events))
    assert (found.n, found.kind) == (3, "transition")
    assert found.message == "`branch` of condition_evaluated of 'big' is 0, and has to be null"
    assert found.found is not None
    assert found.found["next"] == "high"
    assert found.expected is not None
    assert found.expected["next"] == "low"
    assert not found


def test_an_event_that_was_put_in_is_found_with_what_was_due_there() -> None:
    s = low()
    events = documents(s)
    paused = {**events[0], "type": "session_paused", "cause": 2}
    for name in ("pipeline", "digest", "entry", "payload", "labels", "paused"):
        del paused[name]
    found = broken(s.pipeline, chained([*events[:2], {**paused, "reason": None}, *events[2:]]))
    assert found.n == 3
    assert found.message == "found session_paused where condition_evaluated of 'big' was due"


def test_an_event_that_cannot_happen_says_where_the_session_stands() -> None:
    s = low()
    events = documents(s)
    found = broken(s.pipeline, chained([*events, {**events[1]}]))
    assert (found.n, found.kind) == (6, "transition")
    assert found.message == "stage_completed cannot happen here: the session is completed"


def test_a_run_of_another_visit_is_found_by_its_cause() -> None:
    s = low()
    events = documents(s)
    events[1]["cause"] = "#1.2"
    assert "`cause`" in broken(s.pipeline, chained(events)).message


def test_a_true_for_a_one_is_a_difference() -> None:
    s = Scenario(CHOICE).when(start(), completed(writes={"n": 1}), nothing())
    events = documents(s)
    assert events[-1]["artifacts"] == {"n": 1}
    for other in (True, 1.0):
        events[-1]["artifacts"] = {"n": other}
        assert broken(s.pipeline, chained(events)).n == 5


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"type": "session_teleported"}, "newer", "a newer one wrote it"),
        ({"since": "2.0"}, "newer", "'since'"),
        ({"writes": 3}, "bytes", "not an event"),
        ({"at": "yesterday"}, "bytes", "no time in UTC"),
        ({"at": "2030-01-01T00:00:00+02:00"}, "bytes", "no time in UTC"),
        ({"session": "other"}, "chain", "it belongs to session 'other'"),
    ],
)
def test_what_is_no_event_of_this_session_and_release_is_said_plainly(
    change: dict[str, Any], kind: str, words: str
) -> None:
    s = low()
    events = documents(s)
    events[1].update(change)
    found = broken(s.pipeline, chained(events))
    assert (found.n, found.kind) == (2, kind)
    assert words in found.message


def test_an_unknown_field_inside_an_error_is_of_a_newer_release_too() -> None:
    s = Scenario(CHOICE).when(start(), failed(), nothing())
    events = documents(s)
    events[1]["error"]["trace"] = "..."
    found = broken(s.pipeline, chained(events))
    assert (found.n, found.kind) == (2, "newer")
    assert "'error.trace'" in found.message


@pytest.mark.parametrize(
    "change", [lambda d: d + b" ", lambda d: d.replace(b":", b": ", 1), lambda d: b'{"n":1,' + d[1:]]
)
def test_bytes_that_say_the_same_otherwise_are_found(change: Any) -> None:
    s = low()
    found = broken(s.pipeline, [change(s.history[0])])
    assert (found.n, found.kind) == (1, "bytes")


def test_an_event_of_an_earlier_release_lacks_what_was_added_since() -> None:
    s = low()
    events = documents(s)
    del events[0]["labels"]
    del events[1]["attempt"]
    assert verify(s.pipeline, chained(events))


@pytest.mark.parametrize("known", [{"count": 6}, {"count": 4}, {"head": "0" * 64}])
def test_a_history_that_ends_elsewhere_than_was_said_is_found(known: dict[str, Any]) -> None:
    s = low()
    assert broken(s.pipeline, s.history, **known).kind == "tail"


def test_no_events_at_all_are_no_history() -> None:
    assert broken(Pipeline.from_dict(CHOICE), []).message == "there are no events"


def test_another_definition_is_said_to_be_another() -> None:
    s = low()
    found = broken(Pipeline.from_dict({**CHOICE, "max_transitions": 7}), s.history)
    assert (found.n, found.kind) == (1, "definition")


def test_what_an_archived_session_leaves_cannot_be_verified() -> None:
    s = low()
    stone = {"type": "session_archived", "session": "s", "n": 6, "at": s.at, "by": "", "cause": None, "prev": "x"}
    data = msgspec.json.encode({**stone, "head": "x", "count": 5, "last_command": 1, "export_digest": "d"})
    assert broken(s.pipeline, [data]).kind == "archived"


def test_a_stone_over_a_history_names_the_end_of_what_it_covers() -> None:
    s = low()
    stone = {"type": "session_archived", "session": "s", "n": 6, "at": s.at, "by": "", "cause": None, "prev": "x"}
    stone = {**stone, "head": s.state.head, "count": 5, "last_command": 1, "export_digest": "d", "start_id": "s-1"}
    assert verify(s.pipeline, chained([*documents(s), stone]))
    assert "`count`" in broken(s.pipeline, chained([*documents(s), {**stone, "count": 4}])).message
    assert not verify(s.pipeline, chained([*documents(s), stone, stone]))


def test_a_wait_that_took_another_input_is_found() -> None:
    s = Scenario(CHOICE).when(start(), sent("a", 1), sent("a", 2), waits("a"))
    events = documents(s)
    assert events[-1]["took"] == 2
    events[-1]["took"] = 3
    assert "`took`" in broken(s.pipeline, chained(events)).message


def test_an_input_a_schema_does_not_take_cannot_have_been_taken() -> None:
    s = Scenario(CHOICE).when(start(), waits("a", schema={"type": "integer"}), sent("a", 2))
    events = documents(s)
    assert verify(s.pipeline, chained(events))
    events[-1]["payload"] = "two"
    found = broken(s.pipeline, chained(events))
    assert found.message == "found user_input where input_rejected was due"


def test_the_words_of_a_schemas_refusal_are_the_librarys_and_may_change() -> None:
    s = Scenario(CHOICE).when(start(), waits("a", schema={"type": "integer"}), sent("a", "x"))
    events = documents(s)
    events[-1]["problems"][0]["message"] = "'x' is not what it should be"
    assert verify(s.pipeline, chained(events))
    events[-1]["problems"][0]["path"] = "/elsewhere"
    assert not verify(s.pipeline, chained(events))


def test_a_timer_is_due_when_its_seconds_are_over() -> None:
    s = Scenario(CHOICE).when(start(), sleeps(3.0))
    events = documents(s)
    events[-1]["due"] = "2030-01-01T00:00:04.000000Z"
    assert "`due`" in broken(s.pipeline, chained(events)).message


def test_a_delay_too_short_to_show_verifies() -> None:
    s = Scenario(CHOICE).when(start(), failed(retries=1, delay=1e-8))
    assert documents(s)[-1]["timer"] == "t2"
    assert verify(s.pipeline, s.history)


def test_a_rejection_for_no_reason_is_found() -> None:
    s = Scenario(CHOICE).when(start(), control("resume"))
    events = documents(s)
    assert verify(s.pipeline, chained(events))
    events[-1]["command"]["action"] = "pause"
    assert broken(s.pipeline, chained(events)).message == "found command_rejected where session_paused was due"


def test_refusals_from_before_the_core_was_asked_verify() -> None:
    body = {"command": "control", "body": '{"action": "jump"}'}
    refuse = cmd.Refuse(at="2030-01-01T00:00:00Z", seq=9, problems=(), body=body)
    problem = low().state.refusal
    assert problem is None
    s = Scenario(CHOICE).when(start(), control("pause"))
    from stageflow_es.errors import Problem

    s.when(msgspec.structs.replace(refuse, problems=(Problem(path="/action", message="no action"),)))
    assert verify(s.pipeline, s.history)


def test_what_could_not_be_stored_fails_the_session_only_where_something_was_due() -> None:
    s = Scenario(CHOICE).when(start(), completed(writes={"n": 5}))
    s = Scenario(CHOICE).given(*s.history[:2])
    s.when(cmd.GiveUp(at=s.at, error_type=cmd.TOO_LARGE, message="too large"))
    assert verify(s.pipeline, s.history)
    early = documents(s)
    found = broken(s.pipeline, chained([early[0], early[2]]))
    assert found.message.startswith("session_failed cannot happen here")


def test_every_call_of_a_stage_verifies() -> None:
    s = Scenario(CHOICE, SKIPABLE).when(start(paused=True), control("resume"))
    s.when(steps("s", 1), emits("e", {}), sleeps(2), fires("t5"), interrupted(), waits("a", timeout=3), fires("t8"))
    s.when(control("skip"))
    assert verify(s.pipeline, s.history)
    events = documents(s)
    events[3]["key"] = "emit:other:0"
    assert "`key`" in broken(s.pipeline, chained(events)).message


def test_under_another_definition_the_first_event_that_would_differ_is_named() -> None:
    s = low()
    other = msgspec.json.decode(msgspec.json.encode(CHOICE))
    other["nodes"][1]["conditions"][0]["if"] = {">": [{"var": "n"}, 4]}
    verifier = Verifier(Pipeline.from_dict(other), pinned=False)
    found = next(found for found in map(verifier.check, s.history) if found is not None)
    assert found.n == 3
    assert found.expected is not None
    assert found.expected["next"] == "high"


def test_a_definition_that_cannot_be_run_is_a_finding() -> None:
    document = msgspec.json.decode(msgspec.json.encode(CHOICE))
    document["nodes"][0]["next"] = "nowhere"
    pipeline = Pipeline.trusted(msgspec.json.encode(document, order="sorted"))
    s = low()
    events = documents(s)[:2]
    events[0]["digest"], events[1]["next"] = pipeline.digest, "nowhere"
    found = broken(pipeline, chained(events))
    assert (found.n, found.kind) == (2, "definition")
