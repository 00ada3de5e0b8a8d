"""Virtual time: sessions that take days and months end in milliseconds, and every moment is exact.

That these tests end at all shows that nobody waits for the time that passes in them.
"""

from __future__ import annotations

import asyncio
import math
import socket
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from stageflow_es import Session, SessionFailed, verify_history
from stageflow_es.testing import (
    Deadlock,
    PipelineTestSpec,
    advance,
    in_virtual_time,
    run_in_virtual_time,
    run_pipeline_test,
)

from .stages import asking, end, pipeline
from .virtual import DAY, HOUR, START, hours, one, told, when

# --- what takes time in a session ---


@in_virtual_time
async def test_a_year_of_sleeping_passes_and_every_moment_is_exact() -> None:
    session = Session("s", one("TimeSleeps", config={"seconds": 30 * DAY, "times": 12}))
    await session.run()
    assert when(session, "timer_fired") == [timedelta(days=30 * n) for n in range(1, 13)]
    assert verify_history(session.events, session.pipeline)


@in_virtual_time
async def test_attempts_come_after_their_delays() -> None:
    session = Session("s", one("TimeFails"))
    with pytest.raises(SessionFailed, match="attempt 4"):
        await session.run()
    assert when(session, "stage_failed") == [timedelta(seconds=s) for s in (0, 60, 180, 420)]
    assert verify_history(session.events, session.pipeline)


@in_virtual_time
async def test_a_stage_that_hangs_times_out_when_its_time_has_come() -> None:
    session = Session("s", one("TimeHangs", fallback="end"))
    await session.run()
    assert when(session, "stage_timeout") == [timedelta(seconds=30)]


@in_virtual_time
async def test_an_input_before_the_timeout_counts_and_the_timer_is_gone() -> None:
    session = Session("s", asking(timeout=DAY))
    running = asyncio.create_task(session.run())
    await asyncio.sleep(DAY - 1)
    await session.input("go", 1)
    assert (await running).artifacts == {"a": 1}
    await advance(7 * DAY)
    assert told(session)[-1] == ("session_completed", timedelta(seconds=DAY - 1))


@in_virtual_time
async def test_an_input_after_the_timeout_comes_too_late() -> None:
    session = Session("s", asking(timeout=DAY))
    result = await session.run()
    assert result.artifacts == {"a": None}
    assert when(session, "input_timeout") == hours(24)


@in_virtual_time
async def test_after_23_hours_it_still_waits_and_after_24_the_reminder_is_out() -> None:
    session = Session("s", one("TimeReminds"))
    running = asyncio.create_task(session.run())
    assert await advance(23 * HOUR) == START + timedelta(hours=23)
    assert [event.type for event in session.event_history] == ["session_started", "waiting_for_input"]
    assert await advance(HOUR) == START + timedelta(hours=24)
    assert [event.type for event in session.event_history][2:] == ["input_timeout", "reminder", "waiting_for_input"]
    await session.input("approval", "yes")
    assert (await running).artifacts == {"a": "yes"}
    assert verify_history(session.events, session.pipeline)


@in_virtual_time
async def test_sessions_side_by_side_share_the_time() -> None:
    fast = Session("fast", one("TimeSleeps", config={"seconds": 2 * HOUR, "times": 3}))
    slow = Session("slow", one("TimeSleeps", config={"seconds": 5 * HOUR, "times": 2}))
    seen: list[tuple[str, datetime]] = []
    for session in (fast, slow):
        session.event_handler = lambda event: seen.append((event.session_id, event.timestamp))
    await asyncio.gather(fast.run(), slow.run())
    assert when(fast, "timer_fired") == hours(2, 4, 6)
    assert when(slow, "timer_fired") == hours(5, 10)
    assert [at for _, at in seen] == sorted(at for _, at in seen)


@in_virtual_time
async def test_a_wait_beside_the_pipeline_is_told_with_the_time_it_has() -> None:
    session = Session("s", asking())
    running = asyncio.create_task(session.run())
    await advance(HOUR)
    assert await session.wait_input("other", timeout=HOUR) is None
    assert [event.timestamp - START for event in session.event_history][-2:] == hours(1, 2)
    await session.stop()
    await running


def test_the_same_test_makes_the_same_history() -> None:
    async def history() -> list[bytes]:
        session = Session("s", one("TimeReminds"))
        running = asyncio.create_task(session.run())
        await advance(2 * DAY)
        await session.input("approval")
        await running
        return session.events

    assert run_in_virtual_time(history()) == run_in_virtual_time(history())


async def test_in_any_other_loop_sessions_go_by_the_machine() -> None:
    session = Session("s", pipeline(end()))
    await session.run()
    assert told(session)[0][1] + START == pytest.approx(datetime.now(UTC), abs=timedelta(hours=1))


# --- declarative tests ---


def test_a_pipeline_test_waits_days_for_its_inputs_in_no_time() -> None:
    spec = PipelineTestSpec(
        pipeline=one("TimeReminds"),
        inputs=[{"type": "approval", "payload": "late", "delay": 3 * DAY}],
        expected_artifacts={"a": "late"},
        expected_history=["one", "end"],
    )
    _, events = run_in_virtual_time(run_pipeline_test(spec))
    assert [event.timestamp - START for event in events if event.type == "reminder"] == hours(24)
    assert events[-1].timestamp - START == timedelta(days=3)


# --- for ever ---


def test_a_wait_for_what_cannot_come_is_told_with_who_waits_for_what_and_where() -> None:
    async def forgot_the_input() -> None:
        await Session("order-116", pipeline(end())).run()
        await asyncio.gather(Session("order-117", one("TimeReminds")).run())

    with pytest.raises(Deadlock) as caught:
        run_in_virtual_time(forgot_the_input())
    told = str(caught.value).splitlines()
    assert told[0].startswith("nothing can happen any more")
    assert "node 'one' (TimeReminds) waits for an input of type 'approval', since 2030-01-02" in told[2]
    assert f"at {__file__}:" in told[3]
    assert told[3].endswith("in forgot_the_input")
    assert len(told) == 4


def test_a_timer_that_never_comes_due_is_no_hang() -> None:
    with pytest.raises(Deadlock):
        run_in_virtual_time(asyncio.sleep(math.inf))


def test_a_pipeline_test_without_its_input_is_no_hang() -> None:
    spec = PipelineTestSpec(pipeline=asking())
    with pytest.raises(Deadlock, match=r"session test: node 'ask' \(LocalAsk\) waits for an input of type 'go'"):
        run_in_virtual_time(run_pipeline_test(spec))


def test_a_session_from_a_snapshot_tells_what_it_waits_for_too() -> None:
    async def go_on() -> None:
        session = Session("s", asking())
        running = asyncio.create_task(session.run())
        await advance()
        running.cancel()
        await Session.from_snapshot(session.snapshot()).run()

    with pytest.raises(Deadlock, match="session s: waiting, waiting for inputs: go"):
        run_in_virtual_time(go_on())


def test_who_stays_silent_is_named_when_nothing_can_happen() -> None:
    async def listen() -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            asyncio.get_running_loop().add_reader(ours, lambda: None)
            try:
                await asyncio.Event().wait()
            finally:
                asyncio.get_running_loop().remove_reader(ours)

    with capture_logs(), pytest.raises(Deadlock, match="silent: open: <socket"):
        run_in_virtual_time(listen(), patience=0.001)
