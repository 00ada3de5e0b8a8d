"""Virtual time: sessions that take days and months end in milliseconds, and every moment is exact.

That these tests end at all shows that nobody waits for the time that passes in them.
"""

from __future__ import annotations

import asyncio
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar

import msgspec
import pytest
from structlog.testing import capture_logs

from stageflow_es import BaseStage, Pipeline, Session, SessionFailed, register_stage, verify_history
from stageflow_es.testing import (
    Deadlock,
    PipelineTestSpec,
    advance,
    in_virtual_time,
    run_in_virtual_time,
    run_pipeline_test,
    skipping_loop,
)

from .stages import asking, end, pipeline, stage

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = 3600
DAY = 24 * HOUR
REAL = 0.03
"""Seconds that something outside takes; a clock that ran ahead of it would have jumped an hour."""


def work() -> None:
    """Block for a while."""
    time.sleep(REAL)


def speak_late(into: socket.socket) -> subprocess.Popen[bytes]:
    """A process that is not the event loop's."""
    return subprocess.Popen(["sh", "-c", f"sleep {REAL}; echo through"], stdout=into)


@register_stage("TimeSleeps")
class Sleeps(BaseStage):
    async def run(self) -> None:
        for _ in range(self.config.get("times", 1)):
            await self.sleep(self.config["seconds"])


@register_stage("TimeReminds")
class Reminds(BaseStage):
    """Waits a day, reminds, and waits on."""

    async def run(self) -> None:
        answer = await self.wait_input("approval", timeout=DAY)
        if answer is None:
            self.emit("reminder")
            answer = await self.wait_input("approval")
        assert answer is not None
        self.set_outputs({"answer": answer["payload"]})


@register_stage("TimeFails")
class Fails(BaseStage):
    retries = 3
    retry_delay = 60
    retry_backoff = 2

    async def run(self) -> None:
        raise RuntimeError(f"attempt {self.attempt}")


@register_stage("TimeHangs")
class Hangs(BaseStage):
    async def run(self) -> None:
        await asyncio.Event().wait()


@register_stage("TimeBlocks")
class Blocks(BaseStage):
    """Blocks, waits, and blocks in a step."""

    blocking = True

    async def run(self) -> None:
        work()
        await self.sleep(30 * DAY)
        await self.step("again", work)
        answer = await self.wait_input("go", timeout=DAY)
        self.set_outputs({"answer": answer})


@register_stage("TimeBlocksOn")
class BlocksOn(BaseStage):
    blocking = True
    timeout = 0.05
    release: ClassVar[threading.Event] = threading.Event()

    async def run(self) -> None:
        self.release.wait()


def one(name: str, **fields: Any) -> Pipeline:
    """A pipeline of one stage."""
    return pipeline(stage("one", name, outputs={"answer": "a"}, **fields), end("a"))


def told(session: Session) -> list[tuple[str, timedelta]]:
    """The session's events, each with the time since the clock's start."""
    events = [msgspec.json.decode(data) for data in session.events]
    return [(event["type"], datetime.fromisoformat(event["at"]) - START) for event in events]


def when(session: Session, type_: str) -> list[timedelta]:
    return [at for event, at in told(session) if event == type_]


def hours(*numbers: float) -> list[timedelta]:
    return [timedelta(hours=number) for number in numbers]


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


# --- the time itself ---


@in_virtual_time
async def test_what_is_due_at_a_moment_is_done_when_advance_returns() -> None:
    seen: list[str] = []

    async def chain() -> None:
        await asyncio.sleep(HOUR)
        for _ in range(10):
            await asyncio.sleep(0)
        seen.append("done")
        await asyncio.sleep(1)
        seen.append("later")

    task = asyncio.create_task(chain())
    await advance(HOUR)
    assert seen == ["done"]
    await task


@in_virtual_time
async def test_several_may_move_the_time_and_one_that_is_cancelled_moves_nothing() -> None:
    order: list[int] = []

    async def move(number: int, seconds: float) -> None:
        await advance(seconds)
        order.append(number)

    tasks = [asyncio.create_task(move(n, s)) for n, s in enumerate((2, 1, 1, 0.5))]
    await advance(0)
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert order == [1, 2, 0]
    assert asyncio.get_running_loop().time() == 2


@in_virtual_time
async def test_timers_keep_their_moments_for_centuries() -> None:
    loop = asyncio.get_running_loop()
    for years in (1, 10, 100, 160):
        await asyncio.sleep(years * 365 * DAY)
        async with asyncio.timeout(0.5):
            await asyncio.sleep(0.001)
    assert loop.time() == pytest.approx(271 * 365 * DAY + 0.004)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, 300 * 365 * DAY])
def test_time_cannot_be_moved_by_just_anything(seconds: float) -> None:
    with pytest.raises(ValueError, match="time cannot be moved by"):
        run_in_virtual_time(advance(seconds))


@in_virtual_time(start=datetime(2024, 2, 28, 23, tzinfo=timezone(timedelta(hours=1))))
async def test_the_clock_may_begin_at_any_moment_in_any_time_zone() -> None:
    session = Session("s", one("TimeSleeps", config={"seconds": DAY}))
    await session.run()
    assert session.event_history[0].timestamp == datetime(2024, 2, 28, 22, tzinfo=UTC)
    assert await advance() == datetime(2024, 2, 29, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"start": datetime(2030, 1, 1)}, "no time zone"),
        ({"patience": -1}, "patience must be"),
        ({"patience": math.inf}, "patience must be"),
    ],
)
def test_a_clock_that_makes_no_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        in_virtual_time(**options)(_nothing)()


async def _nothing() -> None:
    """Says nothing, does nothing."""


async def test_virtual_time_cannot_begin_inside_another_loop() -> None:
    with pytest.raises(RuntimeError, match="@in_virtual_time"):
        run_in_virtual_time(_nothing())


async def test_real_time_cannot_be_moved() -> None:
    with pytest.raises(RuntimeError, match="only virtual time"):
        await advance(1)


@pytest.mark.parametrize("number", [1, 2])
@in_virtual_time
async def test_a_test_may_take_arguments(number: int) -> None:
    assert number in (1, 2)


def test_what_a_test_returns_and_raises_comes_out() -> None:
    async def give(value: Any) -> Any:
        await advance(1)
        if isinstance(value, Exception):
            raise value
        return value

    assert run_in_virtual_time(give(5)) == 5
    with pytest.raises(KeyError, match="gone"):
        run_in_virtual_time(give(KeyError("gone")))


# --- what is at work outside ---


async def _in_a_thread() -> None:
    await asyncio.to_thread(work)


async def _in_a_subprocess() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", f"import time; time.sleep({REAL})")
    assert await process.wait() == 0


async def _in_a_shell() -> None:
    process = await asyncio.create_subprocess_shell(f"sleep {REAL}; echo through", stdout=subprocess.PIPE)
    assert await process.communicate() == (b"through\n", None)


async def _in_a_thread_of_its_own() -> None:
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def work_and_say() -> None:
        work()
        loop.call_soon_threadsafe(done.set)

    thread = threading.Thread(target=work_and_say)
    thread.start()
    await done.wait()
    thread.join()


async def _over_a_socket() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, speak_late(theirs) as process:
        ours.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(ours, 99) == b"through\n"
    assert process.returncode == 0


async def _standing(busy: Callable[[], Awaitable[None]]) -> datetime:
    """What the clock shows when somebody has been busy."""
    async with asyncio.timeout(HOUR):
        await busy()
    return await advance()


@pytest.mark.parametrize("busy", [_in_a_thread, _in_a_subprocess, _in_a_shell])
def test_the_clock_stands_while_somebody_is_at_work_outside_however_long(busy: Callable[[], Awaitable[None]]) -> None:
    with capture_logs():
        assert run_in_virtual_time(_standing(busy), patience=0.001) == START


def test_a_clock_that_stands_for_long_says_why() -> None:
    with capture_logs() as logged:

        def work_until_it_is_said() -> None:
            while not logged:
                work()

        run_in_virtual_time(_standing(lambda: asyncio.to_thread(work_until_it_is_said)), patience=0.001)
    assert [line["so"] for line in logged] == ["time stands"]
    assert logged[0]["at_work"] == ["1 call in threads or executors"]


@pytest.mark.parametrize("busy", [_in_a_thread_of_its_own, _over_a_socket])
def test_the_clock_stands_while_somebody_may_be_at_work_outside(busy: Callable[[], Awaitable[None]]) -> None:
    assert run_in_virtual_time(_standing(busy), patience=600) == START


def test_a_thread_that_ends_without_a_word_holds_the_clock_no_longer() -> None:
    async def leave() -> datetime:
        threading.Thread(target=work).start()
        return await advance(HOUR)

    with capture_logs() as logged:
        run_in_virtual_time(leave(), patience=600)
    assert logged == []


@pytest.mark.parametrize("own", [True, False])
def test_a_pool_that_has_done_its_calls_holds_the_clock_no_longer(own: bool) -> None:
    async def call() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor() if own else nullcontext() as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, int) for _ in range(9)))  # not every thread gets a call
            await asyncio.sleep(HOUR)

    with capture_logs() as logged:
        run_in_virtual_time(call())
    assert logged == []


def test_the_end_waits_for_threads_nobody_waits_for() -> None:
    started, done = threading.Event(), threading.Event()

    def work_on() -> None:
        started.set()
        work()
        done.set()

    async def give_up() -> None:
        call = asyncio.get_running_loop().run_in_executor(None, work_on)
        started.wait()
        call.cancel()

    with capture_logs():
        run_in_virtual_time(give_up(), patience=0.001)
    assert done.is_set()


@in_virtual_time
async def test_a_blocking_stage_is_waited_for_and_its_waits_are_skipped() -> None:
    session = Session("s", one("TimeBlocks"))
    beside = asyncio.create_task(asyncio.sleep(HOUR))
    assert await session.run()
    await beside
    assert when(session, "timer_set") == hours(0)
    assert when(session, "step_completed") == when(session, "timer_fired") == hours(30 * 24)
    assert when(session, "session_completed") == hours(31 * 24)


@in_virtual_time
async def test_a_blocking_stage_that_hangs_times_out_as_it_really_would() -> None:
    session = Session("s", one("TimeBlocksOn", fallback="end"))
    try:
        await session.run()
        assert when(session, "stage_timeout") == [timedelta(seconds=BlocksOn.timeout)]
        assert await advance(DAY) == START + timedelta(days=1, seconds=BlocksOn.timeout)
    finally:
        BlocksOn.release.set()


@in_virtual_time
async def test_a_timer_that_comes_due_while_somebody_works_fires() -> None:
    release = threading.Event()
    working = asyncio.get_running_loop().run_in_executor(None, release.wait)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(working), REAL)
        assert asyncio.get_running_loop().time() == REAL
    finally:
        release.set()
    await working
    assert asyncio.get_running_loop().time() == REAL


@in_virtual_time
async def test_a_timer_comes_due_however_much_is_heard_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping_loop, "monotonic", lambda: time.monotonic() * HOUR / REAL)
    loop, enough = asyncio.get_running_loop(), threading.Event()
    heard: list[bool] = []

    def chat() -> None:
        for _ in range(100):
            if not enough.wait(REAL / 10):
                loop.call_soon_threadsafe(heard.append, True)

    chatting = loop.run_in_executor(None, chat)
    await asyncio.sleep(HOUR)
    enough.set()
    await chatting
    assert 0 < len(heard) < 100


@in_virtual_time
async def test_a_timer_has_all_its_time_however_long_others_worked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skipping_loop, "monotonic", lambda: time.monotonic() * HOUR / REAL)
    for _ in range(3):
        await asyncio.to_thread(work)
    async with asyncio.timeout(HOUR):
        await asyncio.to_thread(work)
    assert await advance() == START


@in_virtual_time
async def test_advance_waits_for_those_at_work() -> None:
    done: list[bool] = []
    working = asyncio.get_running_loop().run_in_executor(None, lambda: done.append(work() is None))
    await advance()
    assert done == [True]
    await working


def test_a_socket_that_stays_silent_holds_the_clock_for_as_long_as_patience_lasts_and_that_is_logged() -> None:
    async def keep_open() -> datetime:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            loop = asyncio.get_running_loop()
            loop.add_reader(ours, lambda: None)
            await asyncio.sleep(30 * DAY)
            loop.remove_reader(ours)
        return await advance()

    with capture_logs() as logged:
        assert run_in_virtual_time(keep_open(), patience=0.001) == START + timedelta(days=30)
    (line,) = logged
    assert line["event"] == "silent_outside"
    assert line["so"] == "time goes on"
    assert "open: <socket.socket" in line["at_work"][0]


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
