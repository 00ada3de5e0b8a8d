"""Errors in the middle of changing a session's state, such as a want of memory, while it is sent something: whoever
sends hears of it, what the log has counts, and what it has not can be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from stageflow_es import Session, SessionFailed
from stageflow_es.engine import actor, local_host, setbacks
from stageflow_es.session import State, fold, seal
from stageflow_es.session import events as ev

from .stages import asking, end, pipeline, stage, until_waiting

Send = Callable[[Session], Coroutine[Any, Any, Any]]
ASK_ASK = pipeline(
    stage("first", "LocalAsk", "second", outputs={"answer": "a"}),
    stage("second", "LocalAsk", config={"type": "more"}, outputs={"answer": "b"}),
    end("a", "b"),
)


@pytest.fixture(params=["before", "after"])
def fails_at(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[type[ev.Event]], None]:
    """Have the next event of a type fail once, before the state is changed by it or after."""
    failing: list[type[ev.Event]] = []

    def broken(state: Any, event: Any) -> bytes:
        fails = type(event) in failing
        if not fails:
            return seal(state, event)
        failing.clear()
        if request.param == "after":
            seal(state, event)
            state.head = "half way"
        raise MemoryError("half way")

    monkeypatch.setattr(local_host, "seal", broken)
    monkeypatch.setattr(actor, "seal", broken)
    return failing.append


def types(session: Session) -> list[str]:
    """What is in its log, which has to be what its state adds up to."""
    state = fold(State(session.id, session._host.state.pipeline), session.events)
    assert (state.n, state.head, state.status) == (session._host.state.n, session._host.state.head, session.status)
    return [event.type for event in session.event_history]


@pytest.mark.parametrize(
    ("kind", "send"),
    [
        (ev.UserInput, lambda session: session.input("go", 1)),
        (ev.SessionPaused, lambda session: session.pause()),
        (ev.SessionStopped, lambda session: session.stop()),
        (ev.StageSkipped, lambda session: session.skip()),
    ],
)
async def test_a_command_that_fails_while_the_session_runs_can_be_sent_again(
    kind: type[ev.Event], send: Send, fails_at: Callable[[type[ev.Event]], None]
) -> None:
    session = Session("s", asking())
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    fails_at(kind)
    with pytest.raises(MemoryError):
        await send(session)
    assert (session.status, types(session)) == ("waiting", ["session_started", "waiting_for_input"])
    await send(session)
    if session.status == "paused":
        await session.resume()
    if "go" in session.waiting_for:
        await session.input("go", 1)
    await asyncio.wait_for(running, 20)
    assert types(session)[-1] in ("session_completed", "session_stopped")


async def test_a_wait_goes_on_in_the_state_as_the_log_has_it(fails_at: Callable[[type[ev.Event]], None]) -> None:
    session = Session("s", ASK_ASK)
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    fails_at(ev.UserInput)
    with pytest.raises(MemoryError):
        await session.input("go", 1)
    await session.input("more", 2)
    await session.input("go", 3)
    assert (await asyncio.wait_for(running, 20)).artifacts == {"a": 3, "b": 2}
    assert [item["payload"] for item in session.input_history] == [2, 3]
    assert types(session).count("user_input") == 2


async def test_a_retry_that_fails_can_be_sent_again(fails_at: Callable[[type[ev.Event]], None]) -> None:
    session = Session("s", pipeline(stage("bad", "LocalWritesThenFails"), end()))
    with pytest.raises(SessionFailed):
        await session.run()
    fails_at(ev.SessionRetried)
    with pytest.raises(MemoryError):
        await session.retry()
    assert session.status == "failed"
    await session.retry()
    assert types(session)[-1] == "session_retried"
    with pytest.raises(SessionFailed):
        await asyncio.wait_for(session.run(), 20)


async def test_what_follows_from_a_command_that_the_log_has_is_done_all_the_same(
    fails_at: Callable[[type[ev.Event]], None],
) -> None:
    session = Session("s", asking())
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    fails_at(ev.SessionTerminated)
    await session.skip()
    await asyncio.wait_for(running, 20)
    kinds = ["session_started", "waiting_for_input", "stage_skipped", "session_terminated", "session_completed"]
    assert types(session) == kinds


async def test_a_command_to_a_session_that_stands_still_counts_once_it_is_in_the_log(
    fails_at: Callable[[type[ev.Event]], None],
) -> None:
    session = Session("s", asking())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(session.run(), 0.01)
    fails_at(ev.SessionTerminated)
    await session.skip()
    assert types(session)[-1] == "stage_skipped"
    await asyncio.wait_for(session.run(), 20)
    assert types(session)[-2:] == ["session_terminated", "session_completed"]


@pytest.mark.parametrize("kind", [ev.SessionStarted, ev.UserInput])
async def test_what_was_sent_before_the_run_is_not_lost_where_the_beginning_fails(
    kind: type[ev.Event], fails_at: Callable[[type[ev.Event]], None]
) -> None:
    session = Session("s", ASK_ASK)
    await session.input("more", 1)
    await session.input("go", 2)
    fails_at(kind)
    with pytest.raises(MemoryError):
        await session.run()
    assert session.input_history == [{"type": "more", "payload": 1}, {"type": "go", "payload": 2}]
    again = Session.from_snapshot(session.snapshot())
    assert again.input_history == session.input_history
    for each in (session, again):
        assert (await asyncio.wait_for(each.run(), 20)).artifacts == {"a": 2, "b": 1}


async def test_what_is_sent_while_the_actor_recovers_is_decided_with_the_state_as_the_log_has_it(
    fails_at: Callable[[type[ev.Event]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setbacks, "PAUSE", 0.005)
    session = Session("s", asking())
    fails_at(ev.WaitingForInput)
    running = asyncio.create_task(session.run())
    while not session._actor._setbacks:
        await asyncio.sleep(0)
    await session.input("go", 1)
    assert types(session) == ["session_started", "user_input"]
    assert (await asyncio.wait_for(running, 20)).artifacts == {"a": 1}
    assert types(session).count("waiting_for_input") == 1


async def test_a_handler_is_told_an_event_that_could_not_be_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    failures = [MemoryError("half way")]
    tell = local_host.to_user_event

    def broken(event: Any) -> Any:
        if failures and isinstance(event, ev.UserInput):
            raise failures.pop()
        return tell(event)

    monkeypatch.setattr(local_host, "to_user_event", broken)
    session = Session("s", asking(), event_handler=lambda event: told.append(event.type))
    await session.input("go", 1)
    await asyncio.wait_for(session.run(), 20)
    assert not failures
    assert told == types(session)
