"""Every node type in a session of this process; retries, fallbacks and timeouts."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es import Context, Session, SessionFailed

from .stages import Cancelled, end, pipeline, stage, until_waiting


async def test_a_stage_is_retried_as_often_as_its_class_says() -> None:
    result = await Session("s", pipeline(stage("f", "LocalFlaky", outputs={"value": "v"}), end("v"))).run()
    failures = [event.payload["error"] for event in result.history if event.type == "stage_failed"]
    assert failures == ["attempt 1", "attempt 2"]
    assert result.artifacts == {"v": 3}


async def test_a_fallback_reads_the_error_that_led_to_it() -> None:
    nodes = [
        stage("bad", "FailStage", "end", config={"message": "broken"}, fallback="mend"),
        stage("mend", "LocalEcho", arguments={"value": "$error.message"}, outputs={"value": "why"}),
        end("why"),
    ]
    assert (await Session("s", pipeline(*nodes)).run()).artifacts == {"why": "broken"}


async def test_a_stage_that_runs_too_long_times_out() -> None:
    session = Session("s", pipeline(stage("slow", "LocalHangs", fallback="end"), end()))
    assert "stage_timeout" in [event.type for event in (await session.run()).history]


async def test_waiting_does_not_use_up_the_stages_timeout() -> None:
    session = Session("s", pipeline(stage("ask", "LocalShortAsk", outputs={"answer": "a"}), end("a")))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await asyncio.sleep(0.08)
    await session.input("go")
    assert (await running).artifacts == {"a": "in time"}


@pytest.mark.parametrize(("n", "way"), [(5, "high"), (1, "low")])
async def test_a_condition_goes_where_its_rule_says(n: int, way: str) -> None:
    nodes = [
        {
            "id": "c",
            "type": "condition",
            "conditions": [{"if": {">": [{"var": "n"}, 3]}, "then": "high"}],
            "else": "low",
        },
        {"id": "high", "type": "terminal", "result": {"way": "high"}},
        {"id": "low", "type": "terminal", "result": {"way": "low"}},
    ]
    session = Session("s", pipeline(*nodes), Context({"n": n}))
    result = await session.run()
    assert result.result == {"way": way}
    assert [event.payload["next_node"] for event in result.history if event.type == "condition_evaluated"] == [way]


async def test_a_condition_without_a_match_and_an_else_fails() -> None:
    node = {"id": "c", "type": "condition", "conditions": [{"if": {"var": "x"}, "then": "end"}]}
    with pytest.raises(SessionFailed):
        await Session("s", pipeline(node, end())).run()


async def test_a_join_runs_what_follows_once() -> None:
    nodes = [
        {"id": "p", "type": "parallel", "children": ["x", "y"], "next": "after"},
        stage("x", "LocalEcho", "after", config={"value": 1}, outputs={"value": "x"}),
        stage("y", "LocalEcho", "after", config={"value": 2}, outputs={"value": "y"}),
        stage("after", "IncrementStage", arguments={"current": "n"}, outputs={"value": "n"}),
        end("x", "y", "n"),
    ]
    assert (await Session("s", pipeline(*nodes)).run()).artifacts == {"x": 1, "y": 2, "n": 1}


async def test_any_goes_on_with_the_first_success_and_cancels_the_others() -> None:
    Cancelled.seen.clear()
    nodes = [
        {"id": "p", "type": "parallel", "policy": "any", "children": ["bad", "slow", "ask"], "next": "end"},
        stage("bad", "FailStage", None),
        stage("slow", "LocalCancelled", None),
        stage("ask", "LocalAsk", None, outputs={"answer": "a"}),
        end("a"),
    ]
    session = Session("s", pipeline(*nodes))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await asyncio.sleep(0.01)
    await session.input("go", 1)
    assert (await running).artifacts == {"a": 1}
    await asyncio.sleep(0)
    assert Cancelled.seen == ["slow"]


async def test_a_failure_under_all_cancels_its_siblings() -> None:
    Cancelled.seen.clear()
    nodes = [
        {"id": "p", "type": "parallel", "children": ["slow", "ask"], "next": "end"},
        stage("slow", "LocalCancelled", None),
        stage("ask", "LocalAsk", "bad"),
        stage("bad", "FailStage", None),
        end(),
    ]
    session = Session("s", pipeline(*nodes))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await asyncio.sleep(0.01)
    await session.input("go")
    with pytest.raises(SessionFailed, match="fail"):
        await running
    await asyncio.sleep(0)
    assert Cancelled.seen == ["slow"]


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
async def test_a_map_gives_its_outputs_in_item_order(mode: str) -> None:
    nodes = [
        {"id": "m", "type": "map", "items": "l", "body": "inc", "mode": mode, "output_map": {"o": "r"}, "next": "end"},
        stage("inc", "IncrementStage", None, arguments={"current": "item"}, outputs={"value": "o"}),
        end("r"),
    ]
    session = Session("s", pipeline(*nodes), Context({"l": [1, 2, 3]}))
    result = await session.run()
    assert result.artifacts == {"r": [2, 3, 4]}
    assert result.context.to_dict() == {"l": [1, 2, 3], "r": [2, 3, 4]}


async def test_a_subpipeline_has_a_context_of_its_own() -> None:
    child = {
        "entry": "inc",
        "nodes": [stage("inc", "IncrementStage", arguments={"current": "n"}, outputs={"value": "n"}), end("n")],
    }
    node = {
        "id": "c",
        "type": "subpipeline",
        "subpipeline_id": "child",
        "inputs": {"n": "count"},
        "artifact_outputs": {"next": "n"},
        "result_output": "how",
        "next": "end",
    }
    session = Session(
        "s", pipeline(node, end("next", "how"), subpipelines={"child": child}), Context({"count": 1, "n": 9})
    )
    result = await session.run()
    assert result.artifacts == {"next": 2, "how": {"status": "ok"}}
    assert result.context.get("n") == 9


async def test_the_context_given_has_what_came_of_it() -> None:
    payload = {"x": [1]}
    context = Context(payload)
    nodes = [stage("echo", "LocalEcho", arguments={"value": "x"}, outputs={"value": "y"}), end()]
    await Session("s", pipeline(*nodes), context).run()
    assert context.to_dict() == {"x": [1], "y": [1]}
    assert payload == {"x": [1]}
