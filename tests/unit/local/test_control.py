"""Steering a session in this process, and what becomes of its callers."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es import CommandRejected, Context, Event, MissingArtifact, Session, SessionFailed

from .stages import Cancelled, asking, end, pipeline, stage, until_waiting

FAILING = pipeline(stage("bad", "LocalWritesThenFails", outputs={"value": "v"}), end("v"))


async def test_a_failure_is_raised_as_the_runtime_error_it_was_in_stageflow() -> None:
    session = Session("s", FAILING)
    with pytest.raises(RuntimeError, match="after the write") as caught:
        await session.run()
    assert isinstance(caught.value, SessionFailed)
    assert session.context.get("v") is None
    assert session.status == "failed"


async def test_a_failure_that_says_nothing_is_told_by_its_type() -> None:
    silent = pipeline(stage("bad", "FailStage", config={"message": ""}), end())
    with pytest.raises(RuntimeError, match=r"session s failed: RuntimeError$"):
        await Session("s", silent).run()


async def test_an_artifact_a_subpipeline_does_not_leave_is_a_value_error() -> None:
    child = {"entry": "end", "nodes": [end()]}
    node = {
        "id": "c",
        "type": "subpipeline",
        "subpipeline_id": "child",
        "artifact_outputs": {"x": "nope"},
        "next": "end",
    }
    with pytest.raises(ValueError, match="nope") as caught:
        await Session("s", pipeline(node, end(), subpipelines={"child": child})).run()
    assert isinstance(caught.value, MissingArtifact)


async def test_stop_cancels_what_runs_and_is_the_last_event() -> None:
    Cancelled.seen.clear()
    session = Session("s", pipeline(stage("busy", "LocalCancelled"), end()))
    running = asyncio.create_task(session.run())
    await asyncio.sleep(0.01)
    await session.input("command", {"name": "stop"})
    result = await running
    assert result.result == {"result": "stopped"}
    assert result.history[-1].type == "session_stopped"
    await asyncio.sleep(0)
    assert Cancelled.seen == ["busy"]


@pytest.mark.parametrize("early", [asking(), pipeline(end())])
async def test_a_session_stopped_before_its_run_takes_no_step(early: object) -> None:
    session = Session("s", early)  # type: ignore[arg-type]
    await session.input("command", {"name": "stop"})
    assert (await session.run()).result == {"result": "stopped"}


async def test_a_paused_session_starts_nothing_until_it_is_resumed() -> None:
    session = Session("s", pipeline(stage("echo", "LocalEcho", config={"value": 1}, outputs={"value": "v"}), end("v")))
    await session.pause()
    running = asyncio.create_task(session.run())
    await asyncio.sleep(0.01)
    assert session.status == "paused"
    assert session.context.get("v") is None
    await session.resume()
    assert (await running).artifacts == {"v": 1}


async def test_a_stage_that_may_be_skipped_is() -> None:
    session = Session("s", asking())
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.skip()
    result = await running
    assert result.artifacts == {"a": None}
    assert "stage_skipped" in [event.type for event in result.history]


async def test_skipping_what_may_not_be_skipped_is_denied() -> None:
    session = Session("s", pipeline(stage("ask", "LocalStrictAsk"), end()))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    with pytest.raises(CommandRejected, match="not skipable"):
        await session.skip()
    await session.input("command", {"name": "skip"})
    await session.input("go", {"v": 1})
    assert [event.type for event in (await running).history].count("skip_denied") == 2


async def test_a_failed_session_goes_on_where_it_failed() -> None:
    strict = pipeline(
        stage("echo", "LocalEcho", "check", config={"value": 1}, outputs={"value": "v"}),
        stage("check", "LocalAsk", "assert", outputs={"answer": "ok"}),
        stage("assert", "AssertStage", config={"condition": {"var": "ok"}}, fallback=None),
        end("v"),
    )
    session = Session("s", strict)
    await session.input("go", False)
    with pytest.raises(SessionFailed):
        await session.run()
    with pytest.raises(SessionFailed):
        await session.run()
    await session.retry()
    assert session.status == "running"
    with pytest.raises(SessionFailed):
        await session.run()
    assert [event.type for event in session.event_history].count("session_failed") == 2


async def test_only_a_failed_session_is_retried() -> None:
    session = Session("s", pipeline(end()))
    await session.run()
    with pytest.raises(CommandRejected, match="failed"):
        await session.retry()


async def test_a_cancelled_run_leaves_the_session_where_it_stands() -> None:
    Cancelled.seen.clear()
    session = Session("s", pipeline(stage("busy", "LocalCancelled", "ask"), stage("ask", "LocalAsk"), end()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.run(), 0.01)
    await asyncio.sleep(0)
    assert Cancelled.seen == ["busy"]
    assert session.snapshot()["current_node_id"] == "busy"
    await session.stop()
    assert (await session.run()).result == {"result": "stopped"}


async def test_an_input_to_a_session_that_does_not_run_starts_nothing() -> None:
    session = Session("s", asking())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.run(), 0.01)
    await session.input("go", 5)
    await asyncio.sleep(0.01)
    assert session.status == "running"
    assert (await session.run()).artifacts == {"a": 5}


async def test_the_handler_hears_every_event_once_as_it_happens() -> None:
    heard: list[Event] = []
    session = Session("s", asking(), event_handler=heard.append)
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    assert [event.type for event in heard] == ["session_started", "waiting_for_input"]
    await session.input("go", 1)
    result = await running
    assert heard == result.history


async def test_what_a_handler_raises_comes_out_of_run_and_harms_nothing() -> None:
    def handler(event: Event) -> None:
        if event.type == "stage_completed":
            raise KeyError("mine")

    session = Session("s", pipeline(stage("echo", "LocalEcho"), end()), event_handler=handler)
    with pytest.raises(KeyError, match="mine"):
        await session.run()
    assert (await session.run()).result == {"status": "ok"}


async def test_an_event_of_ones_own_is_told_and_not_stored() -> None:
    heard: list[str] = []
    session = Session("s", pipeline(end()), event_handler=lambda event: heard.append(event.type))
    session.emit(Event("mine", "s"))
    result = await session.run()
    assert heard[0] == result.history[0].type == "mine"
    assert all(b'"mine"' not in data for data in session.events)


async def test_a_handler_given_later_hears_what_happens_from_then_on() -> None:
    first: list[str] = []
    second: list[str] = []
    session = Session("s", asking())
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    session.event_handler = lambda event: first.append(event.type)
    await session.input("go", 1)
    session.event_handler = lambda event: second.append(event.type)
    await running
    assert first == ["user_input"]
    assert second == ["stage_completed", "session_terminated", "session_completed"]


async def test_the_handler_of_a_session_can_be_called_and_taken_away() -> None:
    heard: list[Event] = []
    own = Event(type="own", session_id="s")
    session = Session("s", pipeline(end()), event_handler=heard.append)
    session.event_handler(own)
    session.event_handler = None  # type: ignore[assignment]  # mypy knows one type of a property, not what it is set to
    session.event_handler(own)
    await session.run()
    assert heard == [own]


async def test_a_session_tells_the_paths_of_its_artifacts() -> None:
    session = Session("s", pipeline(end("a", "b.c")), Context(payload={"a": 1}))
    assert session.artifact_paths == []
    await session.run()
    assert session.artifact_paths == ["a", "b.c"]


async def test_a_handler_that_raises_ends_the_run_of_a_session_that_waits() -> None:
    def handler(event: Event) -> None:
        if event.type == "waiting_for_input":
            raise ValueError("not that one")

    session = Session("s", asking(), event_handler=handler)
    with pytest.raises(ValueError, match="not that one"):
        await asyncio.wait_for(session.run(), 20)
    assert session.waiting_for == ["go"]
