"""Explanations in words: what a session waits for, why it failed, which way it went."""

from __future__ import annotations

from stageflow_es.audit import explain_history
from stageflow_es.pipeline import Catalog, StageSpec
from stageflow_es.session import commands as cmd
from stageflow_es.session.telling import WIDEST, tell
from stageflow_es.testing.scenario import (
    Move,
    Scenario,
    completed,
    failed,
    fires,
    interrupted,
    sent,
    sleeps,
    start,
    waits,
)

from .nodes import pipeline, stage, terminal

LINE = pipeline(stage("a", "b"), stage("b", "end"), terminal(result={"status": "done"}, artifacts=["v"]))
BRANCHES = pipeline(
    {"id": "both", "type": "parallel", "children": ["each", "sub", "a"], "policy": "all", "next": "end"},
    {"id": "each", "type": "map", "items": "items", "body": "item", "mode": "parallel", "cancel_on_error": False},
    stage("item"),
    {"id": "sub", "type": "subpipeline", "subpipeline_id": "inner"},
    stage("a"),
    terminal(),
    subpipelines={"inner": LINE},
)
CHOICE = pipeline(
    stage("ask", "big"),
    {
        "id": "big",
        "type": "condition",
        "conditions": [
            {"if": {">": [{"var": "v"}, 100]}, "then": "end"},
            {"if": {"in": [{"var": "kind"}, ["gift"]]}, "then": "pack"},
        ],
        "else": "end",
    },
    stage("pack", "end"),
    terminal(),
)
STAGES = {"S": StageSpec(stage_name="S", retries=2)}


def told(s: Scenario, *, stages: Catalog | None = None, upto: int | None = None) -> list[str]:
    return tell(explain_history(s.history[:upto], s.pipeline, stages=stages))


def steered(action: cmd.Action, reason: str) -> Move:
    return lambda s: cmd.Control(at=s.at, seq=s.next_seq(), action=action, reason=reason)


def test_a_wait_is_told_with_its_schema_its_beginning_and_its_end() -> None:
    s = Scenario(LINE).when(start()).after(5).when(waits("go", schema={"type": "object"}, timeout=30.0))
    assert told(s) == [
        "the session waits: no stage has anything to do before one of these happens",
        "node 'a' (S) waits for an input of type 'go' that fits {\"type\":\"object\"}, "
        "since 2030-01-01T00:00:05.000000Z (event 2), until 2030-01-01T00:00:35.000000Z",
    ]


def test_a_wait_without_a_timeout_is_told_to_have_no_limit() -> None:
    (_, wait) = told(Scenario(LINE).when(start(), waits("go")))
    assert wait.endswith("'go', since 2030-01-01T00:00:00.000000Z (event 2), with no limit")


def test_a_sleep_is_told_with_its_end() -> None:
    (_, sleep) = told(Scenario(LINE).when(start(), sleeps(60)))
    assert sleep.endswith("sleeps, since 2030-01-01T00:00:00.000000Z (event 2), until 2030-01-01T00:01:00.000000Z")


def test_the_delay_before_another_attempt_is_told_with_the_failure_and_its_end() -> None:
    (_, delay) = told(Scenario(LINE).when(start()).after(5).when(failed(retries=2, delay=60)))
    assert delay == (
        "node 'a' (S) failed at 2030-01-01T00:00:05.000000Z (event 2) and begins attempt 2 at "
        "2030-01-01T00:01:05.000000Z"
    )


def test_a_run_is_told_with_its_attempts_as_far_as_its_class_is_known_and_its_interruptions() -> None:
    s = Scenario(LINE).when(start(), failed(retries=2, delay=60))
    s.after(60).when(fires(next(iter(s.state.timers))), interrupted())
    since = "since 2030-01-01T00:01:00.000000Z (event 3), interrupted once by the loss of its engine"
    assert told(s)[1] == f"node 'a' is at its stage S, attempt 2, {since}"
    assert told(s, stages=STAGES)[1] == f"node 'a' is at its stage S, attempt 2 of 3, {since}"


def test_a_join_is_told_with_what_is_over_what_failed_and_what_is_still_inside() -> None:
    s = Scenario(BRANCHES).when(start(items=[1, 2, 3]), failed("both/each/each[1]")).after(7)
    s.when(completed("both/each/each[0]"), completed("both/a"))
    _, both, each, sub, *_ = told(s)
    assert "waits for all of its branches (1 of 3 are over); still inside: each, sub;" in both
    assert "waits for its items (2 of 3 are over, 1 of them failed); still inside: 2; since 2030-01-01T00:00:00" in each
    assert "waits for 'inner' to end" in sub


def test_a_failure_is_told_with_every_attempt_of_its_stage() -> None:
    s = Scenario(LINE).when(start(), failed(message="first", retries=1), failed(message="again", retries=1))
    assert told(s) == [
        "the session failed, and can be retried (`retry`)",
        "it failed at node 'a' at 2030-01-01T00:00:00.000000Z (event 4): RuntimeError: again",
        "its stage S failed 2 times, and was not to be tried again; the node has no fallback to go to",
        "  attempt 1: RuntimeError: first",
    ]


def test_a_condition_is_told_with_the_values_its_rules_read_as_they_were_then() -> None:
    s = Scenario(CHOICE).when(start(kind="gift"), completed(), completed(writes={"v": 200}))
    assert told(s)[-3:] == [
        "condition 'big' (event 3) went to 'pack' by condition 1",
        '  {">":[{"var":"v"},100]} was false, with v missing',
        '  {"in":[{"var":"kind"},["gift"]]} was true, with kind = "gift"',
    ]


def test_a_condition_none_of_whose_rules_held_is_told_to_have_gone_by_else() -> None:
    s = Scenario(CHOICE).when(start(), completed(writes={"v": 1, "kind": {}}))
    assert told(s)[-3] == "condition 'big' (event 3) went to 'end' by `else`"


def test_a_rule_that_failed_is_told_with_its_error() -> None:
    s = Scenario(
        pipeline(
            {"id": "big", "type": "condition", "conditions": [{"if": {"/": [1, 0]}, "then": "end"}], "else": "end"},
            terminal(),
        )
    ).when(start())
    assert told(s)[-2:] == ["condition 'big' (event 2) failed: `/` by zero", '  {"/":[1,0]} was an error']


def test_a_pause_is_told_with_who_asked_for_it_and_why() -> None:
    begun_so = told(Scenario(LINE).when(start(paused=True)))
    assert begun_so[0].startswith("the session is paused (it was started so): ")
    later = told(Scenario(LINE).when(start(), steered("pause", "audit")))
    assert later[0].startswith("the session is paused (by event 2: audit): ")


def test_an_end_is_told_with_what_it_left_or_why_it_was_stopped() -> None:
    s = Scenario(LINE).when(start(), completed(writes={"v": 7}), completed())
    assert told(s) == [
        'the session completed at 2030-01-01T00:00:00.000000Z with the result {"status":"done"}, with {"v":7}'
    ]
    stopped = Scenario(LINE).when(start(), steered("stop", "enough"))
    assert told(stopped) == ["the session was stopped at 2030-01-01T00:00:00.000000Z: enough"]


def test_an_input_that_nobody_waits_for_is_told_to_be_kept() -> None:
    s = Scenario(LINE).when(start(), sent("early", 1))
    assert told(s)[-1] == "an input of type 'early' (event 2) is kept: nobody has waited for it yet"


def test_of_a_session_that_no_engine_serves_it_is_told_that_the_next_transition_is_due() -> None:
    s = Scenario(LINE).when(start(), completed(), completed())
    assert told(s, upto=3)[1].startswith("its next transition needs nothing from outside")
    assert not any("needs nothing" in line for line in told(s, upto=2))


def test_a_long_value_is_cut_where_it_is_told() -> None:
    (_, wait) = told(Scenario(LINE).when(start(), waits("go", schema={"const": "x" * 500})))
    assert f'{{"const":"{"x" * (WIDEST - 10)}...' in wait
