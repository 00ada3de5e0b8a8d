"""Tests of days and months that take milliseconds: time passes only where a test says so, or nothing else can happen.

    @in_virtual_time
    async def test_a_reminder_goes_out_after_a_day():
        session = Session("order-117", pipeline)
        running = asyncio.create_task(session.run())
        await advance(86_399)  # a second before: still waiting
        await advance(1)

`asyncio.sleep`, timeouts, and the sessions' own waits, sleeps and retries all go by this time, and so does the `at` of
events. `datetime.now()` and `time` stay the machine's, and so does what a `blocking` stage does with asyncio in its
thread. A test that asks again and again with `asyncio.sleep(0)` in between lets no time pass: it wants `advance()`.
Async fixtures of pytest plugins run on another loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar, overload

from stageflow_es.testing.deadlock import Deadlock
from stageflow_es.testing.scenario import START
from stageflow_es.testing.skipping_loop import SkippingLoop

P = ParamSpec("P")
T = TypeVar("T")
Test = Callable[P, Coroutine[Any, Any, T]]

PATIENCE = 5.0
"""Seconds for which open sockets, and threads of which nothing is known, may be silent before time goes on."""
LONGEST_PATIENCE = 3600.0


def run_in_virtual_time(main: Coroutine[Any, Any, T], *, start: datetime = START, patience: float = PATIENCE) -> T:
    """Run a coroutine as `asyncio.run` does, on a loop whose clock shows `start` (aware) and jumps to the next timer
    whenever nothing else can happen. Returns or raises what the coroutine does, or raises Deadlock when all wait for
    what cannot come.

    The clock stands still while blocking stages, `asyncio.to_thread`, executors or subprocesses are at work, and moves
    on only to a timer that comes due in real time meanwhile. Open sockets and other threads may be at work or not: they
    are given `patience` seconds of silence in real time before each jump.
    """
    try:
        _check(start, patience)
    except Exception:
        main.close()
        raise
    try:
        with asyncio.Runner(loop_factory=lambda: SkippingLoop(start, patience)) as runner:
            return runner.run(main)
    except Deadlock as deadlock:  # where the loop noticed says nothing to anybody
        raise deadlock.with_traceback(None) from None


def _check(start: datetime, patience: float) -> None:
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("virtual time needs an event loop of its own: put @in_virtual_time above the test instead")
    if start.tzinfo is None:
        raise ValueError(f"{start} has no time zone: give one, such as datetime.UTC")
    if not 0 <= patience <= LONGEST_PATIENCE:
        raise ValueError(f"patience must be a number of seconds up to {LONGEST_PATIENCE:g}, not {patience!r}")


@overload
def in_virtual_time(test: Test[P, T]) -> Callable[P, T]: ...
@overload
def in_virtual_time(
    *, start: datetime = START, patience: float = PATIENCE
) -> Callable[[Test[P, T]], Callable[P, T]]: ...
def in_virtual_time(test: Any = None, *, start: datetime = START, patience: float = PATIENCE) -> Any:
    """Make a coroutine function an ordinary one, which runs in virtual time: a test that needs no plugin. May be given
    what `run_in_virtual_time` takes: `@in_virtual_time(start=...)`."""

    def decorate(function: Test[P, T]) -> Callable[P, T]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            return run_in_virtual_time(function(*args, **kwargs), start=start, patience=patience)

        return run

    return decorate if test is None else decorate(test)


async def advance(seconds: float = 0) -> datetime:
    """Let time pass, and return once everything has happened that was due by then, threads included; 0: what can happen
    now. Returns the moment the clock shows. Raises RuntimeError outside of virtual time, ValueError for what is no
    number of seconds or more than the clock can show."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SkippingLoop):
        raise RuntimeError("only virtual time can be moved: put @in_virtual_time above the test")
    return await loop.advance(seconds)
