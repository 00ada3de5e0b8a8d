"""Forks: what a session that begins where another one stood takes over, and what begins anew."""

from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State, apply
from stageflow_es.session import commands as cmd
from stageflow_es.session.fork import objections, origin_of
from stageflow_es.session.snapshot import dump, load
from stageflow_es.session.verify import Broken, verify
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    control,
    emits,
    event,
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


def stage(id: str, next: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "S", "next": next, **fields}


END = {"id": "end", "type": "terminal", "artifacts": ["v", "all"]}
TWO = {"entry": "a", "nodes": [stage("a", "b", arguments={"v": "v"}), stage("b", "end", arguments={"v": "v"}), END]}
PARALLEL = {
    "entry": "p",
    "nodes": [{"id": "p", "type": "parallel", "children": ["a", "b"], "next": "end"}, stage("a"), stage("b"), END],
}
MAP = {
    "entry": "m",
    "nodes": [
        {"id": "m", "type": "map", "items": "v", "body": "a", "output_map": {"item": "all"}, "next": "end"},
        stage("a", arguments={"item": "item"}),
        END,
    ],
}
SUB = {
    "entry": "s",
    "nodes": [{"id": "s", "type": "subpipeline", "subpipeline_id": "inner", "next": "end"}, END],
    "subpipelines": {"inner": {"entry": "a", "nodes": [stage("a", "done"), {"id": "done", "type": "terminal"}]}},
}


def source(document: dict[str, Any] = TWO, **payload: Any) -> Scenario:
    return Scenario(document).when(start(**payload))


def as_of(scenario: Scenario, n: int) -> State:
    """The source's state as of its event `n`."""
    state = State(scenario.state.session, scenario.pipeline)
    for data in scenario.history[:n]:
        apply(state, data)
    return state


def fork(
    of: Scenario,
    at: int | None = None,
    *,
    pipeline: dict[str, Any] | None = None,
    later: float = 0,
    paused: bool = False,
    **payload: Any,
) -> Scenario:
    """A fork, begun by the core as an engine begins it."""
    state = as_of(of, at or len(of.history))
    chosen = of.pipeline if pipeline is None else Pipeline.from_dict(pipeline)
    assert objections(state, chosen) == []
    forked = Scenario(chosen)
    forked.state = State("f", chosen)
    forked.time = of.time
    forked.after(later)
    origin = origin_of(state)
    begin = cmd.Start(at=forked.at, seq=forked.next_seq(), id="f-1", payload=payload, paused=paused, fork=origin)
    return forked.when(begin)


def test_a_fork_goes_on_where_the_other_stood_and_has_numbers_of_its_own() -> None:
    s = source(v=1).when(completed(writes={"v": 2}))
    f = fork(s).then(event("session_started", session="f", n=1, digest=s.pipeline.digest))
    assert (f.state.n, f.state.current_nodes(), f.context(), f.state.status) == (1, ["b"], {"v": 2}, "running")
    assert f.state.runs[""].visit == 1
    f.when(completed(writes={"v": 3})).then(
        event("stage_completed", n=2, node="b"),
        "session_terminated",
        event("session_completed", artifacts={"v": 3, "all": None}),
    )


def test_the_first_event_of_a_fork_says_where_it_came_from_and_has_all_that_is_needed() -> None:
    s = source(v=1).when(completed(writes={"v": 2}), completed())
    f = fork(s, 2)
    f.then(event("session_started", fork={"session": "s", "n": 2, "head": as_of(s, 2).head, "state": _image(s, 2)}))
    alone = State("f", s.pipeline)
    apply(alone, f.history[0])
    assert dump(alone) == dump(f.state)
    assert dump(load(dump(alone), s.pipeline)) == dump(alone)


def _image(s: Scenario, n: int) -> dict[str, Any]:
    return origin_of(as_of(s, n)).state


def test_an_ordinary_start_says_nothing_of_forks() -> None:
    assert b"fork" not in source().history[0]


def test_a_fork_is_its_own_session_to_its_commands() -> None:
    s = source().when(sent("x", 1, id="k"))
    f = fork(s)
    assert (f.state.start_id, list(f.state.recent), f.state.last_command) == ("f-1", ["f-1"], 1)
    f.when(sent("x", 2, id="k")).then("user_input")


def test_a_stage_in_progress_runs_again_and_is_given_what_it_had_recorded() -> None:
    s = source().when(steps("charge", 42), emits("said", {}), interrupted(), sent("go", 7), waits("go"))
    run = fork(s).state.runs[""]
    assert {key: record.value for key, record in run.records.items()} == {
        "step:charge:0": 42,
        "emit:said:0": None,
        "wait:go:0": {"type": "go", "payload": 7},
    }
    assert (run.attempt, run.interruptions) == (1, 0)


def test_an_open_wait_stays_open_under_another_name_and_takes_the_forks_input() -> None:
    s = source().when(waits("go"))
    f = fork(s)
    assert (list(f.state.waits), f.state.status) == (["1-w2"], "waiting")
    f.when(sent("go", 1)).then(event("user_input", waits=["1-w2"]))
    assert s.state.status == "waiting"


def test_a_timer_is_set_anew_with_the_time_that_was_left() -> None:
    s = source().after(5).when(waits("go", timeout=60.0))
    f = fork(s, later=1000)
    ((name, timer),) = f.state.timers.items()
    assert (name, timer.n, timer.due) == ("1-t2", 1, "2030-01-01T00:17:45.000000Z")
    f.when(fires("t2")).then()
    f.when(fires("1-t2")).then(event("input_timeout", wait="1-w2", timer="1-t2"))


def test_a_sleep_and_a_delay_before_a_retry_are_waited_out_in_the_fork() -> None:
    s = source(PARALLEL).when(sleeps(30, "p/a"), failed("p/b", retries=1, delay=9.0))
    f = fork(s)
    assert sorted(f.state.timers) == ["1-t3", "1-t4"]
    f.when(fires("1-t3"), fires("1-t4")).then("timer_fired", "timer_fired")
    assert f.state.runs["p/b"].attempt == 2
    f.when(completed("p/a"), completed("p/b"))
    assert f.state.status == "completed"


def test_kept_inputs_are_kept_in_order_and_never_mistaken_for_the_forks_own() -> None:
    s = source().when(sent("go", "one"), sent("go", "two"))
    f = fork(s).when(sent("go", "three"))
    assert [(item.n, item.payload) for item in f.state.inputs["go"]] == [(-1, "one"), (0, "two"), (2, "three")]
    again = fork(f)
    assert [item.n for item in again.state.inputs["go"]] == [-3, -2, 0]
    f.when(waits("go")).then(event("waiting_for_input", took=-1))
    f.when(waits("go", key="wait:go:1"), waits("go", key="wait:go:2"))
    assert f.state.inputs == {}


def test_a_failed_session_begins_again_where_it_failed() -> None:
    s = source(v=1).when(completed(writes={"v": 2}), steps("paid", True), failed())
    assert s.state.outcome == "failed"
    f = fork(s)
    assert (f.state.status, f.state.current_nodes()) == ("running", ["b"])
    assert list(f.state.runs[""].records) == ["step:paid:0"]
    f.when(completed())
    assert f.state.status == "completed"


def test_a_failure_not_dealt_with_yet_begins_again_too() -> None:
    s = source().when(failed())
    (kind,) = [n for n, data in enumerate(s.history, 1) if b'"stage_failed"' in data]
    f = fork(s, kind).then("session_started")
    f.when(completed(), completed())
    assert f.state.status == "completed"


def test_the_siblings_of_what_failed_go_on() -> None:
    s = source(PARALLEL).when(waits("go", "p/b", timeout=9.0)).when(completed("p/a"))
    s = Scenario(PARALLEL).given(*s.history[:4])
    s.when(cmd.GiveUp(at=s.at, error_type=cmd.TOO_LARGE, message="x"))
    assert s.state.outcome == "failed"
    f = fork(s)
    assert (list(f.state.runs), list(f.state.timers)) == (["p/b"], ["1-t3"])


def test_a_fork_is_paused_when_asked_and_not_because_the_other_was() -> None:
    s = source().when(control("pause"))
    assert fork(s).state.status == "running"
    f = fork(s, paused=True)
    assert f.state.status == "paused"
    f.when(control("resume"))
    assert f.state.status == "running"


def test_the_context_can_be_mended_and_stages_in_progress_see_it() -> None:
    s = source(v=1, kept=True).when(completed(writes={"v": "bad"}))
    f = fork(s, v="good")
    assert f.context() == {"v": "good", "kept": True}
    assert f.state.runs[""].arguments == {"v": "good"}
    assert s.state.runs[""].arguments == {"v": "bad"}


def test_without_a_mended_context_arguments_stay_what_they_were_when_the_cursor_came() -> None:
    document = {**PARALLEL, "nodes": [PARALLEL["nodes"][0], stage("a"), stage("b", arguments={"v": "v"}), END]}
    s = source(document, v=1).when(completed("p/a", writes={"v": 2}))
    assert fork(s).state.runs["p/b"].arguments == {"v": 1}


def test_a_map_in_progress_goes_on_with_the_items_that_are_left() -> None:
    s = source(MAP, v=[1, 2, 3]).when(completed("m[0]"))
    f = fork(s)
    assert f.state.runs["m[1]"].arguments == {"item": 2}
    f.when(completed("m[1]"), completed("m[2]"))
    assert f.state.artifacts["all"] == [1, 2, 3]


def test_a_fork_of_a_terminated_session_only_completes_it() -> None:
    s = source().when(completed(), completed())
    (n,) = [n for n, data in enumerate(s.history, 1) if b'"session_terminated"' in data]
    fork(s, n).then("session_started", "session_completed")


def test_a_fork_counts_its_transitions_from_nothing() -> None:
    document = {"entry": "a", "nodes": [stage("a", "a"), END], "max_transitions": 3}
    s = source(document).when(completed(), completed(), completed())
    assert s.state.outcome == "failed"
    f = fork(s).then("session_started")
    f.when(completed())
    assert f.state.status == "running"


@pytest.mark.parametrize("ends", [control("stop"), completed(writes={"v": 1})])
def test_a_session_that_is_over_cannot_be_forked_at_its_end(ends: Any) -> None:
    s = source().when(completed()).when(ends)
    (problem,) = objections(s.state, s.pipeline)
    assert problem.path == "/fork/at"
    assert f"by event {s.state.n}" in problem.message
    assert fork(s, 2).state.status == "running"


# --- under another definition ---


def changed(document: dict[str, Any], node: str, **fields: Any) -> dict[str, Any]:
    nodes = [{**old, **fields} if old["id"] == node else old for old in document["nodes"]]
    return {**document, "nodes": nodes}


def test_another_definition_takes_over_at_the_node_in_progress() -> None:
    s = source(v=1).when(completed(writes={"v": 2, "w": 3}))
    f = fork(s, pipeline=changed(TWO, "b", stage="Mended", arguments={"v": "w"}))
    assert f.state.runs[""].arguments == {"v": 3}
    assert f.state.digest == f.pipeline.digest != s.pipeline.digest
    f.when(nothing()).when(completed())
    assert f.state.status == "completed"


@pytest.mark.parametrize(
    ("document", "moves", "other", "message"),
    [
        (TWO, [], {"entry": "b", "nodes": TWO["nodes"][1:]}, "'a' is where the session stands, and not in this"),
        (TWO, [], changed(TWO, "a") | {"nodes": [END | {"id": "a"}], "entry": "a"}, "a terminal in this definition"),
        (TWO, [steps("x", 1)], changed(TWO, "a", stage="Other"), "runs 'S', which has recorded calls"),
        (PARALLEL, [], changed(PARALLEL, "p", children=["a"]), "branches in progress that this definition has not: b"),
        (MAP, [], changed(MAP, "m", item_path="it"), "other paths for them"),
        (
            SUB,
            [],
            changed(SUB, "s", subpipeline_id="x") | {"subpipelines": {"x": SUB["subpipelines"]["inner"]}},
            "is 'x' in",
        ),
        (
            SUB,
            [],
            SUB | {"subpipelines": {"inner": {"entry": "done", "nodes": [{"id": "done", "type": "terminal"}]}}},
            "(scope 's')",
        ),
    ],
)
def test_a_definition_that_does_not_have_what_is_in_progress_is_refused(
    document: dict[str, Any], moves: list[Any], other: dict[str, Any], message: str
) -> None:
    s = source(document, v=[1, 2]).when(*moves)
    problems = objections(s.state, Pipeline.from_dict(other))
    assert [problem.path for problem in problems] == ["/pipeline"]
    assert message in problems[0].message


def test_a_definition_that_differs_elsewhere_fits() -> None:
    for document in (PARALLEL, MAP, SUB):
        s = source(document, v=[1])
        f = fork(s, pipeline={**document, "metadata": {"mended": True}})
        assert f.state.current_nodes() == s.state.current_nodes()


# --- verified ---


@pytest.mark.parametrize("later", [0, 10])
def test_a_forks_history_verifies_with_nothing_but_its_definition(later: float) -> None:
    s = source(v=1).when(steps("x", 1), sent("go", 1), completed(writes={"v": 2}), waits("stop", timeout=4.0))
    f = fork(s, later=later, v=3).when(waits("go", key="wait:go:0"), fires("1-t5"), completed())
    assert f.state.status == "completed"
    assert verify(f.pipeline, f.history)


def test_a_fork_under_another_definition_verifies_with_that_one() -> None:
    s = source(v=1).when(completed(writes={"v": 2, "w": 3}))
    f = fork(s, pipeline=changed(TWO, "b", arguments={"v": "w"})).when(completed())
    assert verify(f.pipeline, f.history)
    assert not verify(s.pipeline, f.history)


@pytest.mark.parametrize(
    "forged",
    [
        {"n": 3},
        {"head": "0" * 64},
        {"session": "other"},
        {"state": {}},
        {"state": {"scopes": [{"path": "", "kind": "root", "node": "nowhere", "root": {}}]}},
        {"state": {"runs": ["gone"]}},
        {"state": {"waits": {"w9": {"type": "x", "scope": "gone", "key": "k"}}}},
        {"state": {"outcome": "completed"}},
        {"state": {"surprise": 1}},
    ],
)
def test_a_forged_beginning_does_not_verify(forged: dict[str, Any]) -> None:
    s = source(v=1).when(waits("go"))
    first = msgspec.json.decode(fork(s).history[0])
    changes = forged.pop("state", None)
    first["fork"] |= forged
    if changes is not None:
        first["fork"]["state"] = changes and first["fork"]["state"] | changes
    verdict = verify(s.pipeline, [msgspec.json.encode(first)])
    assert isinstance(verdict, Broken)
