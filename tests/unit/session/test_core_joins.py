"""Parallel nodes and their joins, as given events, when a command, then events."""

from typing import Any

from stageflow_es.testing.scenario import Scenario, completed, event, failed, nothing, start

from .nodes import END, pipeline, stage, terminal

PARALLEL = {"id": "p", "type": "parallel", "children": ["a", "b"], "next": "end"}


def parallel(**fields: Any) -> Scenario:
    return Scenario(pipeline({**PARALLEL, **fields}, stage("a"), stage("b"), terminal()))


def test_a_parallel_joins_after_all_branches_in_any_order() -> None:
    s = parallel()
    s.when(start()).then("session_started", event("parallel_started", children=["a", "b"]))
    s.when(completed("p/b")).then("stage_completed", event("branch_completed", scope="p/b", branch="b", error=None))
    s.when(completed("p/a")).then(
        "stage_completed", "branch_completed", event("parallel_completed", next="end", failures=[]), *END
    )


def test_under_all_the_first_failure_ends_the_session_and_keeps_the_tree() -> None:
    s = parallel()
    s.when(start()).when(failed("p/a")).then("stage_failed", "session_failed")
    assert set(s.state.scopes) == {"", "p/a", "p/b"}


def test_under_all_without_cancel_the_failures_are_recorded_and_next_runs() -> None:
    s = parallel(cancel_on_error=False)
    s.when(start()).when(failed("p/a")).then("stage_failed", event("branch_completed", branch="a"))
    s.when(completed("p/b"))
    s.then("stage_completed", "branch_completed", "parallel_completed", *END)


def test_under_any_the_first_success_wins_and_cancels_the_rest() -> None:
    s = parallel(policy="any")
    s.when(start()).when(completed("p/b"))
    s.then("stage_completed", "branch_completed", event("parallel_completed", cancelled=["a"], next="end"), *END)


def test_under_any_a_failure_is_no_end_but_all_failures_are() -> None:
    s = parallel(policy="any")
    s.when(start()).when(failed("p/a")).then("stage_failed", "branch_completed")
    s.when(failed("p/b")).then("stage_failed", "session_failed")


def test_under_any_with_cancel_the_first_failure_ends_it() -> None:
    s = parallel(policy="any", cancel_on_error=True)
    s.when(start()).when(failed("p/a")).then("stage_failed", "session_failed")


def test_a_branch_ends_at_a_terminal_or_on_reaching_the_joins_next_which_runs_once() -> None:
    s = Scenario(
        pipeline(
            {**PARALLEL, "next": "c"},
            stage("a", "c"),
            stage("b", "t"),
            terminal("t"),
            stage("c", "end"),
            terminal(),
        )
    )
    s.when(start()).when(completed("p/a")).then("stage_completed", "branch_completed")
    s.when(completed("p/b")).then("stage_completed", "branch_completed", event("parallel_completed", next="c"))
    assert list(s.state.runs) == [""]


def test_an_inner_join_that_fails_is_absorbed_by_an_outer_one_that_goes_on() -> None:
    s = Scenario(
        pipeline(
            {"id": "o", "type": "parallel", "children": ["p", "x"], "cancel_on_error": False, "next": "end"},
            {**PARALLEL, "next": None},
            stage("a"),
            stage("b"),
            stage("x"),
            terminal(),
        )
    )
    s.when(start())
    s.when(failed("o/p/p/a")).then(
        "stage_failed",
        event("branch_completed", scope="o/p/p/a"),
        event("parallel_completed", scope="o/p", node="p", cancelled=["b"], next=None),
        event("branch_completed", scope="o/p", node="o"),
    )
    s.when(completed("o/x")).then("stage_completed", "branch_completed", "parallel_completed", *END)


def test_an_inner_any_of_which_all_branches_failed_has_failed_for_the_outer_join_that_goes_on() -> None:
    outer = {"id": "o", "type": "parallel", "children": ["p", "x"], "cancel_on_error": False, "next": "end"}
    inner = {**PARALLEL, "policy": "any", "next": None}
    s = Scenario(pipeline(outer, inner, stage("a"), stage("b"), stage("x"), terminal())).when(start())
    s.when(failed("o/p/p/a")).then("stage_failed", "branch_completed")
    s.when(failed("o/p/p/b", message="the last")).then(
        "stage_failed",
        event("branch_completed", scope="o/p/p/b"),
        event("parallel_completed", scope="o/p", next=None),
        event("branch_completed", scope="o/p"),
    )
    assert [failure.error.message for failure in s.state.root.join.failures] == ["the last"]


def test_nothing_is_due_twice() -> None:
    s = parallel().when(start()).when(nothing(), nothing()).then()
    assert s.state.n == 2
