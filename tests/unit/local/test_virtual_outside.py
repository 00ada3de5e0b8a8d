"""What threads, subprocesses and sockets do outside takes real time: the clock of virtual time stands meanwhile."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from stageflow_es import Session
from stageflow_es.testing import (
    advance,
    in_virtual_time,
    run_in_virtual_time,
    skipping_loop,
)

from .virtual import DAY, HOUR, REAL, START, BlocksOn, hours, one, when, work


def speak_late(into: socket.socket) -> subprocess.Popen[bytes]:
    """A process that is not the event loop's."""
    return subprocess.Popen(["sh", "-c", f"sleep {REAL}; echo through"], stdout=into)


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
