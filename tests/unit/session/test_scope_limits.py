"""How far the scopes of a session may spread."""

from typing import Any

from stageflow_es.session.room import MAX_DEPTH, MAX_PATH, MAX_SCOPES
from stageflow_es.testing.scenario import Scenario, start

from .nodes import pipeline, stage, terminal


def itself(**fields: Any) -> dict[str, Any]:
    return {"id": "m", "type": "map", "items": "list", "body": "m", "next": "end", **fields}


def test_a_body_that_maps_itself_for_ever_fails_before_it_takes_the_memory_of_its_engine() -> None:
    s = Scenario(pipeline(itself(), terminal())).when(start(list=[1, 2]))
    error = s.state.error
    assert s.state.status == "failed"
    assert error is not None
    assert (error.type, error.node) == ("ScopeLimit", "m")
    assert f"{MAX_DEPTH} deep" in error.message
    assert len(s.state.scopes) == MAX_DEPTH + 1
    assert len(s.history) < 10 * MAX_DEPTH


def test_a_branch_that_opens_its_own_parallel_node_inside_for_ever_fails() -> None:
    again = {"id": "c", "type": "condition", "conditions": [{"if": True, "then": "p"}], "else": "end"}
    parallel = {"id": "p", "type": "parallel", "children": ["c"], "next": "end"}
    s = Scenario(pipeline(parallel, again, terminal())).when(start())
    assert s.state.error is not None
    assert s.state.error.type == "ScopeLimit"


def test_a_tree_may_be_walked_as_deep_as_json_may_be_nested() -> None:
    tree: dict[str, Any] = {"children": []}
    for _ in range(60):
        tree = {"children": [tree]}
    walk = itself(items="node.children", item_path="node")
    s = Scenario(pipeline(walk, terminal())).when(start(node=tree))
    assert s.state.status == "completed"


def test_long_ids_inside_one_another_fail_before_their_paths_fill_the_memory() -> None:
    name = "m" * (MAX_PATH // 4)
    s = Scenario(pipeline(itself(id=name, body=name), terminal())).when(start(list=[1]))
    assert s.state.error is not None
    assert "characters long" in s.state.error.message


def test_a_map_opens_no_more_scopes_at_once_than_there_is_room_for() -> None:
    wide = {"id": "m", "type": "map", "items": "list", "body": "s", "mode": "parallel", "next": "end"}
    items = [None] * (MAX_SCOPES + 1)
    s = Scenario(pipeline(wide, stage("s"), terminal())).when(start(list=items))
    assert s.state.error is not None
    assert "max_concurrency" in s.state.error.message
    narrow = {**wide, "max_concurrency": 2}
    s = Scenario(pipeline(narrow, stage("s"), terminal())).when(start(list=items))
    assert s.state.status == "running"


def test_a_subpipeline_has_no_more_room_than_other_scopes() -> None:
    run = {"id": "r" * MAX_PATH, "type": "subpipeline", "subpipeline_id": "s", "next": "end"}
    inner = pipeline({**run, "id": "r"}, terminal(), subpipelines={"s": pipeline(terminal())})
    s = Scenario(pipeline({**run, "subpipeline_id": "o"}, terminal(), subpipelines={"o": inner})).when(start())
    assert s.state.error is not None
    assert s.state.error.type == "ScopeLimit"
