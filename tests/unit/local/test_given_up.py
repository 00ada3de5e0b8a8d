"""What cannot be recorded, through whatever fault, is given up after a few tries: no session is stuck for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stageflow_es import Session, SessionFailed
from stageflow_es.engine import actor, setbacks
from stageflow_es.session import events as ev
from stageflow_es.session import seal

from .stages import end, pipeline, stage


@pytest.mark.parametrize(
    ("kind", "events"),
    [
        (ev.StageCompleted, [ev.SessionStarted, ev.StageFailed, ev.SessionFailed]),
        (ev.SessionTerminated, [ev.SessionStarted, ev.StageCompleted, ev.SessionFailed]),
    ],
)
async def test_a_session_fails_when_what_follows_cannot_be_recorded(
    monkeypatch: pytest.MonkeyPatch, kind: type[ev.Event], events: list[type[ev.Event]]
) -> None:
    def broken(state: Any, event: Any) -> bytes:
        if isinstance(event, kind):
            raise RecursionError("too deep")
        return seal(state, event)

    monkeypatch.setattr(actor, "seal", broken)
    monkeypatch.setattr(setbacks, "PAUSE", 0)
    session = Session("s", pipeline(stage("a", "LocalEcho"), end()))
    with pytest.raises(SessionFailed, match="cannot be recorded: RecursionError") as failure:
        await asyncio.wait_for(session.run(), 20)
    assert failure.value.error is not None
    assert failure.value.error.type == "Unrecordable"
    assert [type(ev.decode(data)) for data in session.events] == events


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_state_that_an_error_left_half_changed_is_read_again_before_anything_follows_from_it(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[ev.Event] = []

    def broken(state: Any, event: Any) -> bytes:
        fails = isinstance(event, ev.SessionTerminated) and not raised
        if not fails or when == "after":
            data = seal(state, event)
        if fails:
            raised.append(event)
            raise MemoryError("half way")
        return data

    monkeypatch.setattr(actor, "seal", broken)
    monkeypatch.setattr(setbacks, "PAUSE", 0)
    session = Session("s", pipeline(stage("a", "LocalEcho"), end()))
    await asyncio.wait_for(session.run(), 20)
    assert raised
    kinds = [type(ev.decode(data)) for data in session.events]
    assert kinds == [ev.SessionStarted, ev.StageCompleted, ev.SessionTerminated, ev.SessionCompleted]
