"""Inputs, waits, timers, retries and control, as given events, when a command, then events."""

from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import StageSpec
from stageflow_es.session import ChainBroken, State, apply
from stageflow_es.session import commands as cmd
from stageflow_es.session.snapshot import dump, load
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    control,
    emits,
    event,
    failed,
    fires,
    interrupted,
    sent,
    sleeps,
    start,
    steps,
    waits,
)

from .nodes import stage

NUMBER = {"type": "object", "properties": {"v": {"type": "number"}}, "required": ["v"]}


def one(**fields: Any) -> Scenario:
    document = {"entry": "a", "nodes": [stage("a", "end", **fields), {"id": "end", "type": "terminal"}]}
    return Scenario(document, {"S": StageSpec(stage_name="S", skipable=True)})


def two() -> Scenario:
    nodes = [
        {"id": "p", "type": "parallel", "children": ["a", "b"], "next": "end"},
        stage("a"),
        stage("b"),
        {"id": "end", "type": "terminal"},
    ]
    return Scenario({"entry": "p", "nodes": nodes}, {"S": StageSpec(stage_name="S", skipable=True)})


# --- inputs ---


def test_an_input_wakes_the_wait_for_its_type() -> None:
    s = one().when(start()).when(waits("go")).then(event("waiting_for_input", input_type="go", took=None))
    assert s.state.status == "waiting"
    s.when(sent("go", {"v": 1})).then(event("user_input", waits=["w2"]))
    assert s.state.status == "running"
    assert s.state.runs[""].records["wait:go:0"].value == {"type": "go", "payload": {"v": 1}}


def test_an_input_wakes_every_open_wait_for_its_type() -> None:
    s = two().when(start()).when(waits("go", "p/a"), waits("go", "p/b"))
    s.when(sent("go", 1)).then(event("user_input", waits=["w3", "w4"]))


def test_inputs_nobody_waits_for_are_kept_in_order_and_given_once() -> None:
    s = two().when(start()).when(sent("go", 1), sent("go", 2)).then(event("user_input", waits=[]), "user_input")
    s.when(waits("go", "p/a")).then(event("waiting_for_input", took=3))
    s.when(waits("go", "p/b")).then(event("waiting_for_input", took=4))
    s.when(waits("go", "p/b", key="wait:go:1")).then(event("waiting_for_input", took=None))


def test_an_input_no_open_wait_takes_is_refused_and_the_wait_goes_on() -> None:
    s = one().when(start()).when(waits("go", schema=NUMBER))
    s.when(sent("go", {"v": "x"})).then(event("input_rejected", command_seq=2, buffered=None))
    assert s.state.refusal is not None
    assert s.state.refusal.problems[0].path == "/payload/v"
    s.when(sent("go", {"v": 2})).then("user_input")


def test_the_pointer_of_a_refused_input_is_one_whatever_the_keys_are() -> None:
    odd = {"type": "object", "additionalProperties": {"items": {"type": "integer"}}}
    s = one().when(start()).when(waits("go", schema=odd)).when(sent("go", {"a/b~c": [1, "x"]}))
    assert s.state.refusal is not None
    assert [problem.path for problem in s.state.refusal.problems] == ["/payload/a~1b~0c/1"]


def test_an_integer_that_python_asks_for_is_written_as_one() -> None:
    s = one().when(start()).when(waits("go", schema={"type": "integer", "format": "int"}))
    s.when(sent("go", 1.0)).then("input_rejected")
    s.when(sent("go", 1)).then("user_input")


def test_an_input_goes_to_those_of_its_waits_whose_schema_takes_it() -> None:
    s = two().when(start()).when(waits("go", "p/a", schema=NUMBER), waits("go", "p/b"))
    s.when(sent("go", "text")).then(event("user_input", waits=["w4"]))


def test_a_kept_input_a_later_wait_refuses_is_answered_and_the_next_one_taken() -> None:
    s = one().when(start()).when(sent("go", {"v": "x"}), sent("go", {"v": 1}))
    s.when(waits("go", schema=NUMBER)).then(
        event("input_rejected", buffered=2, command_seq=2), event("waiting_for_input", took=3)
    )


def test_a_wait_that_takes_a_kept_input_sets_no_timer() -> None:
    s = one().when(start()).when(sent("go", 1)).when(waits("go", timeout=5))
    s.then(event("waiting_for_input", took=2, timer=None, due=None))
    assert not s.state.timers


def test_a_wait_whose_schema_cannot_be_applied_takes_nothing_and_says_so() -> None:
    s = one().when(start()).when(waits("go", schema={"pattern": "("})).when(sent("go", "x"))
    s.then(event("input_rejected", input_type="go"))
    assert s.state.refusal is not None
    assert [problem.path for problem in s.state.refusal.problems] == ["/payload"]
    assert list(s.state.waits) == ["w2"]


def test_a_command_sent_as_an_input_is_a_command_and_never_kept() -> None:
    s = one().when(start()).when(sent("command", {"name": "stop"})).then("session_stopped")
    s = one().when(start()).when(sent("command", {"name": "dance"})).then("command_rejected")
    assert not s.state.inputs


def test_a_wait_that_times_out_is_closed_by_its_timer_alone() -> None:
    s = one().when(start()).when(waits("go", timeout=5))
    assert s.state.timers["t2"].due == "2030-01-01T00:00:05.000000Z"
    s.when(fires("other")).then()
    s.when(fires("t2")).then(event("input_timeout", wait="w2", input_type="go"))
    s.when(fires("t2")).then()
    s.when(sent("go")).then(event("user_input", waits=[]))


def test_an_answered_wait_closes_its_timer() -> None:
    s = one().when(start()).when(waits("go", timeout=5)).when(sent("go"))
    s.when(fires("t2")).then()
    assert not s.state.timers


# --- stages ---


def test_a_sleep_ends_when_its_timer_fires() -> None:
    s = one().when(start()).when(sleeps(60)).then(event("timer_set", timer="t2", due="2030-01-01T00:01:00.000000Z"))
    assert s.state.status == "waiting"
    s.when(fires("t2")).then("timer_fired").when(completed()).then("stage_completed", *END)


END = ("session_terminated", "session_completed")


def test_a_retry_waits_for_its_delay_which_grows_and_keeps_steps_alone() -> None:
    policy = {"retries": 3, "delay": 2.0, "backoff": 3.0}
    s = one().when(start()).when(steps("pay", 7), emits("p", {}), failed(**policy))
    s.then("step_completed", "stage_event", event("stage_failed", retry=True, due="2030-01-01T00:00:02.000000Z"))
    assert s.state.status == "waiting"
    assert list(s.state.runs[""].records) == ["step:pay:0"]
    s.when(completed()).then()
    s.when(fires("t4")).then("timer_fired")
    assert s.state.status == "running"
    s.when(failed(**policy)).then(event("stage_failed", attempt=2, due="2030-01-01T00:00:06.000000Z"))


def test_a_new_visit_of_a_node_knows_nothing_of_the_last() -> None:
    loop = {"entry": "a", "nodes": [stage("a", "a")]}
    s = Scenario(loop).when(start()).when(steps("pay", 7)).when(completed())
    assert s.state.runs[""].records == {}


def test_a_call_recorded_is_not_recorded_again() -> None:
    s = one().when(start()).when(steps("pay", 7), emits("e", {}), waits("go"), sleeps(1))
    s.when(steps("pay", 8), emits("e", {}), waits("go"), sleeps(1)).then()


def test_a_report_of_a_run_that_is_over_changes_nothing() -> None:
    s = one().when(start())
    report = cmd.CompleteStage(at=s.at, run=s.run_of(""))
    s.when(failed(retries=1)).when(report).then()
    s.when(completed()).when(report).then()


def test_a_run_lost_too_often_fails() -> None:
    s = one(fallback="end").when(start())
    s.when(interrupted(limit=2), interrupted(limit=2))
    s.then(event("stage_interrupted", count=1), event("stage_interrupted", count=2))
    s.when(interrupted(limit=2)).then(event("stage_failed", next="end"), *END)


def test_a_timeout_is_a_failed_attempt_of_its_own_type() -> None:
    one().when(start()).when(failed(timed_out=True)).then("stage_timeout", "session_failed")


# --- control ---


def test_a_pause_lets_running_stages_finish_and_starts_nothing() -> None:
    s = one().when(start()).when(control("pause")).then("session_paused")
    s.when(completed()).then("stage_completed")
    assert s.state.status == "paused"
    s.when(control("pause")).then("command_rejected")
    s.when(control("resume")).then("session_resumed", *END)


def test_a_session_may_start_paused() -> None:
    s = two().when(start(paused=True)).then(event("session_started", paused=True))
    s.when(control("resume")).then("session_resumed", "parallel_started")


def test_inputs_and_timers_are_recorded_while_paused() -> None:
    s = one().when(start()).when(waits("go", timeout=5)).when(control("pause"))
    s.when(sent("go", 1)).then(event("user_input", waits=["w2"]))


def test_stop_ends_everything_with_its_result() -> None:
    s = two().when(start()).when(waits("go", "p/a", timeout=5)).when(control("stop")).then("session_stopped")
    assert s.state.result == {"result": "stopped"}
    assert (s.state.runs, s.state.timers, s.state.waits, list(s.state.scopes)) == ({}, {}, {}, [""])
    s.when(sent("go"), control("stop"), control("retry"), start())
    s.then(*["command_rejected"] * 4)


def test_nothing_is_outstanding_of_the_only_stage_of_a_session_that_was_stopped_or_failed() -> None:
    for end in (control("stop"), failed()):
        s = one().when(start()).when(waits("go", timeout=5)).when(end)
        assert (s.state.outcome != "", s.state.runs, s.state.timers, s.state.waits) == (True, {}, {}, {})


def test_skip_acts_on_the_active_stage_if_its_class_allows() -> None:
    s = one().when(start()).when(control("skip")).then(event("stage_skipped", node="a", next="end"), *END)
    s = one()
    s.stages = {}
    s.when(start()).when(control("skip")).then("skip_denied")
    assert s.state.refusal is not None


def test_skip_needs_a_scope_where_several_stages_are_active() -> None:
    s = two().when(start()).when(control("skip")).then("skip_denied")
    s.when(control("skip", scope="p/nowhere")).then("skip_denied")
    s.when(control("skip", scope="p/a")).then("stage_skipped", "branch_completed")


def test_retry_resumes_at_the_failed_stage_and_keeps_what_succeeded() -> None:
    s = two().when(start()).when(steps("pay", 1, "p/a"), completed("p/b"), failed("p/a"))
    assert s.state.status == "failed"
    s.when(sent("go")).then("command_rejected")
    s.when(control("retry")).then("session_retried")
    assert list(s.state.runs) == ["p/a"]
    assert list(s.state.runs["p/a"].records) == ["step:pay:0"]
    s.when(completed("p/a")).then("stage_completed", "branch_completed", "parallel_completed", *END)


def test_retry_sets_the_open_timers_of_the_frozen_siblings_again_under_new_ids() -> None:
    s = two().when(start()).when(waits("go", "p/a", timeout=9), failed("p/b"))
    s.when(fires("t3")).then()
    s.when(control("retry")).then("session_retried")
    assert list(s.state.timers) == ["6-t3"]
    s.when(fires("t3")).then()
    s.when(fires("6-t3")).then("input_timeout")


def test_retry_is_only_for_failed_sessions() -> None:
    one().when(start()).when(control("retry")).then("command_rejected")


# --- once ---


def test_a_command_read_again_changes_nothing() -> None:
    s = one().when(start())
    again = cmd.Input(at=s.at, seq=2, type="go")
    s.when(again).then("user_input").when(again).then()
    s.when(cmd.Start(at=s.at, seq=1)).then()


def test_a_command_sent_again_under_its_id_changes_nothing() -> None:
    s = one().when(start(id="x")).when(sent("go", id="y")).when(sent("go", id="y"), start(id="x")).then()
    s.when(start(id="z")).then("command_rejected")
    assert s.state.refusal is not None
    assert s.state.refusal.problems[0].message == "session 's' exists already"


def test_a_command_to_no_session_is_refused_without_an_event() -> None:
    s = one().when(sent("go")).then()
    assert s.refused[0].message == "there is no session 's'"


@pytest.mark.parametrize("kept", [False, True])
def test_a_snapshot_at_any_point_goes_on_to_the_same_state(kept: bool) -> None:
    s = two().when(start()).when(waits("go", "p/a", timeout=9), steps("pay", {"k": [1]}, "p/b"), sent("other", 1))
    s.when(sent("go")).when(failed("p/b", retries=1, delay=3)).when(completed("p/a", writes={"x.y": 1}))
    delay = s.state.runs["p/b"].retry_timer
    assert delay is not None
    s.when(fires(delay)).when(completed("p/b"))
    whole = dump(s.state)
    for cut in range(1, len(s.history)):
        state = State("s", s.pipeline)
        for data in s.history[:cut]:
            apply(state, data)
        if kept:
            image = dump(state)
            state = load(image, s.pipeline)
            assert dump(state) == image
        for data in s.history[cut:]:
            apply(state, data)
        assert dump(state) == whole


def test_a_history_that_does_not_begin_with_a_start_is_not_folded() -> None:
    s = one().when(start()).when(control("pause"))
    paused = msgspec.json.decode(s.history[1])
    first = msgspec.json.encode({**paused, "n": 1, "prev": ""})
    state = State("s", s.pipeline)
    with pytest.raises(ChainBroken, match="begins with session_started"):
        apply(state, first)
    assert state.n == 0


def test_a_stage_that_is_skipped_in_its_delay_is_waited_for_no_more() -> None:
    s = two().when(start(), failed("p/a", retries=1, delay=5.0))
    assert s.state.status == "running"
    s.stages = {"S": StageSpec(stage_name="S", skipable=True)}
    s.when(control("skip", "p/a"))
    assert (s.state.status, list(s.state.timers)) == ("running", [])
    assert s.when(waits("x", "p/b")).state.status == "waiting"


def test_a_session_stopped_before_anything_began_has_nothing_due() -> None:
    s = two().when(start(paused=True), control("stop"))
    assert (s.state.status, dict(s.state.due), s.state.runs) == ("stopped", {}, {})
    s.when(control("resume")).then("command_rejected")


def test_a_scope_is_for_skip_only_and_the_rejection_points_at_it() -> None:
    s = one().when(start()).when(control("pause", scope="x"))
    s.then(event("command_rejected", problems=[{"path": "/scope", "message": "only `skip` takes a scope"}]))
