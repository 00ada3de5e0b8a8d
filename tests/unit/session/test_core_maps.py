"""Maps and their iterations, as given events, when a command, then events."""

from typing import Any

import pytest

from stageflow_es.session import snapshot
from stageflow_es.testing.scenario import Scenario, completed, event, failed, start

from .nodes import END, pipeline, stage, terminal

MAP = {"id": "m", "type": "map", "items": "in", "body": "b", "output_map": {"out": "all.outs"}, "next": "end"}


def mapped(**fields: Any) -> Scenario:
    return Scenario(pipeline({**MAP, **fields}, stage("b", arguments={"v": "item"}), terminal(artifacts=["all.outs"])))


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_map_collects_one_entry_per_item_in_item_order(mode: str) -> None:
    s = mapped(mode=mode)
    s.when(start(**{"in": [10, 20, 30]}))
    order = [0, 1, 2] if mode == "sequential" else [2, 0, 1]
    for index in order:
        assert s.state.runs[f"m[{index}]"].arguments == {"v": (index + 1) * 10}
        writes = {} if index == 1 else {"out": index}
        s.when(completed(f"m[{index}]", writes=writes))
    assert s.state.artifacts == {"all.outs": [0, None, 2]}
    assert "out" not in s.context()
    assert "item" not in s.context()


def test_a_sequential_map_runs_one_at_a_time_and_max_concurrency_bounds_a_parallel_one() -> None:
    one = mapped().when(start(**{"in": [1, 2, 3]}))
    assert list(one.state.runs) == ["m[0]"]
    two = mapped(mode="parallel", max_concurrency=2).when(start(**{"in": [1, 2, 3]}))
    assert list(two.state.runs) == ["m[0]", "m[1]"]


def test_a_map_over_nothing_gives_empty_lists() -> None:
    s = mapped().when(start(**{"in": []}))
    s.then("session_started", event("map_started", count=0), "map_completed", *END)
    assert s.state.artifacts == {"all.outs": []}


@pytest.mark.parametrize("payload", [{}, {"in": None}, {"in": {"a": 1}}, {"in": "text"}])
def test_a_map_over_something_else_than_a_list_fails(payload: dict[str, Any]) -> None:
    s = mapped().when(start(**payload)).then("session_started", "map_completed", "session_failed")
    assert s.state.error is not None
    assert s.state.error.type == "MapItems"


def test_a_map_whose_items_cannot_be_put_where_they_belong_fails_before_it_begins() -> None:
    s = (
        mapped(item_path="a.b")
        .when(start(**{"in": [1], "a": 3}))
        .then("session_started", "map_completed", "session_failed")
    )
    assert s.state.error is not None
    assert s.state.error.type == "PathError"


def test_a_failed_item_fails_the_map_or_gives_null() -> None:
    s = mapped().when(start(**{"in": [1, 2]})).when(failed("m[0]")).then("stage_failed", "session_failed")
    s = mapped(cancel_on_error=False).when(start(**{"in": [1, 2]}))
    s.when(failed("m[0]")).then("stage_failed", "iteration_completed")
    s.when(completed("m[1]", writes={"out": 7}))
    assert s.state.artifacts == {"all.outs": [None, 7]}


def test_an_iteration_sees_the_context_as_it_was_when_the_map_began() -> None:
    s = Scenario(
        pipeline(
            {"id": "p", "type": "parallel", "children": ["m", "w"], "next": "end"},
            {**MAP, "next": None},
            stage("b", arguments={"v": "shared"}),
            stage("w"),
            terminal(),
        )
    )
    s.when(start(**{"in": [1, 2], "shared": "old"}))
    s.when(completed("p/w", writes={"shared": "new"}), completed("p/m/m[0]"))
    assert s.state.runs["p/m/m[1]"].arguments == {"v": "old"}


def test_what_a_failed_item_had_written_before_does_not_leave_it() -> None:
    nodes = [{**MAP, "cancel_on_error": False}, stage("b", "c", outputs={"out": "out"}), stage("c"), terminal()]
    s = Scenario(pipeline(*nodes)).when(start(**{"in": [1, 2]}))
    s.when(completed("m[0]", writes={"out": "half"}), failed("m[0]"))
    s.then("stage_completed", "stage_failed", event("iteration_completed", outputs={}))
    s.when(completed("m[1]", writes={"out": "whole"}), completed("m[1]"))
    assert s.context()["all"] == {"outs": [None, "whole"]}


def test_an_iteration_comes_back_from_its_snapshot_wherever_it_wrote() -> None:
    body = [stage("b", "c"), stage("c", "d"), stage("d", "e"), stage("e")]
    s = Scenario(pipeline(MAP, *body, terminal())).when(start(**{"in": [1], "a": 3}))
    for writes in ({"a": [1]}, {"a.1": 2}, {"a": 7}):
        s.when(completed("m[0]", writes=writes))
    image = snapshot.dump(s.state)
    again = snapshot.load(image, s.pipeline)
    assert again.scopes["m[0]"].frame.get("a") == 7
    assert snapshot.dump(again) == image
