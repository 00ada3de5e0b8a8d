"""Snapshots of sessions in this process: they go on where they were."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from stageflow_es import Context, Pipeline, Session, SessionFailed

from .stages import asking, end, pipeline, stage, until_waiting


async def at_its_wait(session: Session) -> dict[str, Any]:
    """A snapshot while the session waits, as it comes back from a file; the session itself is stopped."""
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    snapshot = json.loads(json.dumps(session.snapshot()))
    await session.stop()
    await running
    return snapshot


async def test_a_session_goes_on_at_its_wait() -> None:
    nodes = [
        stage("echo", "LocalEcho", "ask", arguments={"value": "x"}, outputs={"value": "y"}),
        stage("ask", "LocalAsk", outputs={"answer": "a"}),
        end("y", "a"),
    ]
    snapshot = await at_its_wait(Session("s", pipeline(*nodes), Context({"x": 1})))
    assert (snapshot["current_node_id"], snapshot["context"]) == ("ask", {"x": 1, "y": 1})

    session = Session.from_snapshot(snapshot)
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.input("go", 2)
    result = await running
    assert result.artifacts == {"y": 1, "a": 2}
    types = [event.type for event in result.history]
    assert types.count("session_started") == types.count("waiting_for_input") == 1


async def test_a_snapshot_has_the_inputs_nobody_has_waited_for() -> None:
    nodes = [stage("ask", "LocalAsk"), stage("more", "LocalAsk", config={"type": "more"}, outputs={"answer": "m"})]
    session = Session("s", pipeline({**nodes[0], "next": "more"}, nodes[1], end("m")))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.input("more", 1)
    snapshot = session.snapshot()
    await session.stop()
    await running

    again = Session.from_snapshot(snapshot)
    assert again.input_history == [{"type": "more", "payload": 1}]
    await again.input("go")
    assert (await again.run()).artifacts == {"m": 1}


async def test_a_session_that_had_not_begun_keeps_what_it_was_sent() -> None:
    session = Session("s", asking(), Context({"x": 1}))
    await session.input("go", 3)
    again = Session.from_snapshot(json.loads(json.dumps(session.snapshot())))
    assert again.last_input() == {"type": "go", "payload": 3}
    result = await again.run()
    assert result.artifacts == {"a": 3}
    assert result.context.get("x") == 1


async def test_a_finished_session_stays_finished() -> None:
    session = Session("s", pipeline(stage("echo", "LocalEcho", config={"value": 1}, outputs={"value": "v"}), end("v")))
    first = await session.run()
    again = Session.from_snapshot(session.snapshot())
    second = await again.run()
    assert second.to_dict() == first.to_dict()
    assert again.status == "completed"


async def test_a_failed_session_stays_failed() -> None:
    session = Session("s", pipeline(stage("bad", "FailStage"), end()))
    with pytest.raises(SessionFailed):
        await session.run()
    with pytest.raises(SessionFailed, match="fail"):
        await Session.from_snapshot(session.snapshot()).run()


async def test_a_paused_session_stays_paused() -> None:
    session = Session("s", asking())
    await session.pause()
    running = asyncio.create_task(session.run())
    await asyncio.sleep(0.01)
    snapshot = session.snapshot()
    await session.stop()
    await running
    assert snapshot["paused"]
    again = Session.from_snapshot(snapshot)
    await again.resume()
    await again.input("go", 1)
    assert (await again.run()).artifacts == {"a": 1}


async def test_a_wait_that_ran_out_meanwhile_is_over() -> None:
    snapshot = await at_its_wait(Session("s", asking(timeout=0.01)))
    await asyncio.sleep(0.02)
    assert (await Session.from_snapshot(snapshot).run()).artifacts == {"a": None}


async def test_a_snapshot_of_another_pipeline_is_refused() -> None:
    snapshot = await at_its_wait(Session("s", asking()))
    with pytest.raises(ValueError, match="another definition"):
        Session.from_snapshot(snapshot, pipeline=asking("other"))


def test_a_snapshot_without_a_pipeline_needs_one() -> None:
    snapshot = Session("s", pipeline(end())).snapshot()
    del snapshot["pipeline"]
    with pytest.raises(ValueError, match="no pipeline"):
        Session.from_snapshot(snapshot)
    assert isinstance(Session.from_snapshot(snapshot, pipeline=pipeline(end())).pipeline, Pipeline)


async def test_a_snapshot_of_stageflows_own_goes_on_at_its_node() -> None:
    nodes = [stage("bad", "FailStage", "echo"), stage("echo", "LocalEcho", arguments={"value": "x"}), end("x")]
    snapshot = {
        "session_id": "old",
        "current_node_id": "echo",
        "context": {"x": 1},
        "pipeline": pipeline(*nodes).raw_json,
        "input_history": [{"type": "go", "payload": {}}],
    }
    session = Session.from_snapshot(snapshot)
    assert session.last_input() == {"type": "go", "payload": {}}
    assert (await session.run()).artifacts == {"x": 1}


def test_a_session_goes_on_in_another_event_loop() -> None:
    session = Session("s", asking())
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(session.run(), 0.01))

    async def go_on() -> Any:
        await session.input("go", 1)
        return (await session.run()).artifacts

    assert asyncio.run(go_on()) == {"a": 1}
