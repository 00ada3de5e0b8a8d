"""What came from outside is in the events themselves and verifies whatever it is; what follows from it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from stageflow_es.audit import HistoryBroken, explain_history, export_history, replay_history, what_if
from stageflow_es.errors import Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import commands as cmd
from stageflow_es.session.decide import UNDECIDED
from stageflow_es.session.fold import hash_of
from stageflow_es.session.verify import Broken, verify
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    control,
    failed,
    interrupted,
    nothing,
    sent,
    sleeps,
    start,
    waits,
)

LINE = {
    "entry": "a",
    "nodes": [
        {"id": "a", "type": "stage", "stage": "Do", "outputs": {"v": "v"}, "next": "end"},
        {"id": "end", "type": "terminal", "result": {"status": "done"}},
    ],
}
Document = dict[str, Any]


def documents(scenario: Scenario) -> list[Document]:
    return [msgspec.json.decode(data) for data in scenario.history]


def chained(events: list[Document]) -> list[bytes]:
    stored: list[bytes] = []
    for n, event in enumerate(events, 1):
        prev = hash_of(stored[-1]) if stored else ""
        stored.append(msgspec.json.encode({**event, "n": n, "prev": prev}))
    return stored


def broken(pipeline: Pipeline, events: list[Document]) -> Broken:
    found = verify(pipeline, chained(events))
    assert isinstance(found, Broken)
    return found


def test_names_and_labels_of_a_start_and_the_reasons_of_its_steering_verify() -> None:
    def begin(s: Scenario) -> cmd.Start:
        return cmd.Start(
            at=s.at, by="e1", seq=s.next_seq(), id="i", pipeline="p@1", payload={"v": 1}, labels={"k": "v"}, paused=True
        )

    def steer(action: cmd.Action) -> Any:
        return lambda s: cmd.Control(at=s.at, by="e2", seq=s.next_seq(), action=action, reason=f"to {action}")

    s = Scenario(LINE).when(begin, steer("resume"), steer("pause"), steer("resume"), failed(), steer("retry"))
    s.when(steer("stop"))
    reasons = [event.get("reason") for event in documents(s)]
    assert [reason for reason in reasons if reason] == ["to resume", "to pause", "to resume", "to retry", "to stop"]
    assert verify(s.pipeline, s.history)


def test_whether_a_stage_does_something_else_while_it_waits_is_its_own_to_say() -> None:
    for alone in (True, False):
        s = Scenario(LINE).when(start(), waits("a", alone=alone), sent("a"))
        s.when(lambda s, alone=alone: msgspec.structs.replace(sleeps(3.0)(s), alone=alone))  # type: ignore[misc]
        assert [event["alone"] for event in documents(s) if "alone" in event] == [alone, alone]
        assert verify(s.pipeline, s.history)


@pytest.mark.parametrize("limit", [1, 3, 9])
def test_how_often_a_run_may_be_lost_is_its_engines_to_say(limit: int) -> None:
    s = Scenario(LINE).when(start(), *[interrupted(limit=limit)] * (limit + 1))
    assert documents(s)[-1]["type"] == "session_failed"
    assert verify(s.pipeline, s.history)


def test_a_session_given_up_by_any_engine_verifies() -> None:
    s = Scenario(LINE).when(start(), completed(writes={"v": 1}))
    s = Scenario(LINE).given(*s.history[:2])
    s.when(lambda s: cmd.GiveUp(at=s.at, by="engine-7", error_type=cmd.TOO_LARGE, message="too large"))
    assert documents(s)[-1]["by"] == "engine-7"
    assert verify(s.pipeline, s.history)


# --- rejections -------------------------------------------------------------------------------------------------


def refused(body: Document, *messages: str) -> Any:
    problems = tuple(Problem(message=message) for message in messages)
    return lambda s: cmd.Refuse(at=s.at, seq=s.next_seq(), problems=problems, body=body)


START_BODY = {"command": "start", "pipeline": "other"}
INPUT_BODY = {"command": "input", "type": "a", "payload": 1}
PAUSE_BODY = {"command": "control", "action": "pause", "scope": None}


def test_a_start_that_an_engine_refused_before_it_asked_the_core_verifies() -> None:
    s = Scenario(LINE).when(start(), refused(START_BODY, "no pipeline 'other'"))
    assert verify(s.pipeline, s.history)


@pytest.mark.parametrize("body", [INPUT_BODY, PAUSE_BODY])
def test_a_command_that_could_not_be_decided_verifies_and_one_refused_for_another_reason_does_not(
    body: Document,
) -> None:
    s = Scenario(LINE).when(start(), refused(body, UNDECIDED))
    assert verify(s.pipeline, s.history)
    events = documents(s)
    events[-1]["problems"] = [{"message": "not today"}]
    found = broken(s.pipeline, events)
    assert found.n == 2
    assert found.message.startswith("found command_rejected where ")


def test_a_rejection_that_names_no_problem_is_found() -> None:
    s = Scenario(LINE).when(start(), refused({"command": "control", "body": "{}"}, "no action"))
    events = documents(s)
    assert verify(s.pipeline, chained(events))
    events[-1]["problems"] = []
    assert broken(s.pipeline, events).n == 2


def test_an_action_there_is_not_can_only_have_been_refused_by_an_engine() -> None:
    s = Scenario(LINE).when(start(), refused({**PAUSE_BODY, "action": "explode"}, "unknown action 'explode'"))
    assert verify(s.pipeline, s.history)


def test_an_input_kept_and_then_refused_has_its_reasons_and_its_turn() -> None:
    s = Scenario(LINE).when(start(), sent("a", 1), sent("a", "x"), waits("a", schema={"type": "string"}))
    events = documents(s)
    place = next(place for place, event in enumerate(events) if event["type"] == "input_rejected")
    assert verify(s.pipeline, chained(events))
    for change in ({"problems": []}, {"buffered": 3}, {"command_seq": 9}, {"cause": "nowhere#1.1"}, {"payload": 2}):
        found = broken(s.pipeline, [*events[:place], {**events[place], **change}, *events[place + 1 :]])
        assert found.n == place + 1, change


def test_an_input_refused_on_arrival_is_the_senders_in_all_but_its_words() -> None:
    s = Scenario(LINE).when(start(), waits("a", schema={"type": "string"}), sent("a", 1))
    events = documents(s)
    assert verify(s.pipeline, chained(events))
    for change in ({"buffered": 1}, {"command_seq": 9}):
        assert broken(s.pipeline, [*events[:-1], {**events[-1], **change}]).n == 3, change


# --- the stone ----------------------------------------------------------------------------------------------------


def stone(s: Scenario) -> Document:
    state = s.state
    known = {"head": state.head, "count": state.n, "last_command": state.last_command, "start_id": state.start_id}
    return {
        "type": "session_archived",
        "session": "s",
        "n": 0,
        "at": s.at,
        "by": "archive",
        "cause": None,
        "prev": "",
        **known,
        "export_digest": "d",
        "summary": {},
    }


def test_only_a_session_that_has_ended_is_archived() -> None:
    s = Scenario(LINE).when(start())
    assert broken(s.pipeline, [*documents(s), stone(s)]).message.startswith("session_archived cannot happen here")
    s.when(completed(writes={"v": 1}), nothing())
    ended = [*documents(s), stone(s)]
    assert verify(s.pipeline, chained(ended))
    found = broken(s.pipeline, [*ended, {**stone(s), "count": len(ended), "head": hash_of(chained(ended)[-1])}])
    assert found.message == "session_archived cannot happen here: the session is archived"


# --- what is said -------------------------------------------------------------------------------------------------


def test_a_time_that_is_none_is_found_even_with_a_z() -> None:
    s = Scenario(LINE).when(start())
    for at in ("yesterdayZ", "2030-13-01T00:00:00Z", "Z", ""):
        assert broken(s.pipeline, [{**documents(s)[0], "at": at}]).kind == "bytes"


def test_a_broken_chain_is_said_to_be_one() -> None:
    s = Scenario(LINE).when(start(), control("pause"), control("resume"))
    for n, change, words in (
        (2, {"n": 3}, "it is numbered 3: an event is missing, added or moved"),
        (3, {"prev": "0" * 64}, "`prev` is not the hash of the event before it"),
    ):
        data = msgspec.json.encode({**msgspec.json.decode(s.history[n - 1]), **change})
        found = verify(s.pipeline, [*s.history[: n - 1], data, *s.history[n:]])
        assert isinstance(found, Broken)
        assert (found.n, found.kind) == (n, "chain")
        assert words in found.message


@pytest.mark.parametrize(("count", "n"), [(1, 2), (2, 3), (9, 4)])
def test_a_history_of_another_length_than_was_said_is_found_where_it_parts(count: int, n: int) -> None:
    s = Scenario(LINE).when(start(), control("pause"), control("resume"))
    found = verify(s.pipeline, s.history, count=count)
    assert isinstance(found, Broken)
    assert (found.n, found.kind) == (n, "tail")


def test_an_export_whose_end_is_missing_is_not_taken_for_the_whole_history(tmp_path: Path) -> None:
    s = Scenario(LINE).when(start(), control("pause"), control("resume"))
    lines = list(export_history(s.history, s.pipeline))
    file = tmp_path / "cut.jsonl"
    file.write_bytes(b"".join(lines[:-1]))
    for look in (replay_history, explain_history):
        with pytest.raises(HistoryBroken, match="ends with event 2, and is said to have 3"):
            look(file)
    cut = what_if(file, s.pipeline)
    assert isinstance(cut, Broken)
    assert cut.kind == "tail"
    assert replay_history(file, at=2).status == "paused"
    file.write_bytes(b"".join(lines))
    assert replay_history(file).n == 3
    assert what_if(file, s.pipeline)


def test_without_any_definition_nothing_verifies_and_the_first_event_is_shown() -> None:
    s = Scenario(LINE).when(start())
    other = Pipeline.from_dict({**LINE, "max_transitions": 9})
    found = verify(other, s.history)
    assert isinstance(found, Broken)
    assert found.found is not None
    assert found.found["digest"] == s.pipeline.digest
    assert other.digest in found.message
