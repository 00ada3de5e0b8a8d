"""Stages that block: each runs in a thread with an event loop of its own, its durable calls made on the engine's.

A thread cannot be ended from outside. When its run is cancelled, whatever it awaits is cancelled; while it blocks, its
next call raises; and what it returns is not recorded. No run waits for another's thread, nor the process's end for any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import ContextVar
from threading import Lock, Thread
from typing import Any, TypeVar

from stageflow_es.engine.awaiting import begun
from stageflow_es.engine.own_time import own_time
from stageflow_es.errors import StageError
from stageflow_es.stages import BaseStage, Event
from stageflow_es.stages.runtime import ContextView, StageRuntime, StageSession

T = TypeVar("T")

called_alone: ContextVar[bool] = ContextVar("called_alone", default=True)
"""Whether the stage itself makes the call that is under way, and not a task it runs beside other things."""


class _Caller:
    """Makes calls on the engine's loop for a thread that waits for them, and tells the loop, if it keeps its own time,
    whether the thread is at work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.main: asyncio.Task[Any] | None = None
        """The stage's own task in its thread."""
        time = own_time(loop)
        self._outside: set[object] = set() if time is None else time.outside
        self._work = 0

    def works(self) -> None:
        """The thread has something to do, or one thing more. To be called on the loop, as are the next two."""
        self._work += 1
        self._outside.add(self)

    def rests(self) -> None:
        """The thread is through with something, or waits for the loop."""
        self._work -= 1
        if self._work < 1:
            self._outside.discard(self)

    def let_go(self) -> None:
        """Nobody waits for the thread any more."""
        self._outside.discard(self)
        self._outside = set()

    def now(self, function: Callable[..., T], *args: Any) -> T:
        """The result of a plain call made on the loop."""
        answer: Future[T] = Future()

        def call() -> None:
            try:
                answer.set_result(function(*args))
            except BaseException as error:
                answer.set_exception(error)

        self._loop.call_soon_threadsafe(call)
        return answer.result()

    async def later(self, work: Awaitable[T]) -> T:
        """The result of something awaited on the loop."""
        alone = asyncio.current_task() is self.main
        called_alone.set(alone)
        call = self._rest_until(work) if alone else _coroutine(work)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call, self._loop))

    async def _rest_until(self, work: Awaitable[T]) -> T:
        self.rests()
        try:
            return await work
        finally:
            self.works()


class ThreadContext:
    """The context as a thread may use it."""

    def __init__(self, context: ContextView, caller: _Caller) -> None:
        self._context = context
        self._caller = caller

    @property
    def payload(self) -> Any:
        return self._caller.now(lambda: self._context.payload)

    def get(self, path: str, default: Any = None) -> Any:
        return self._caller.now(self._context.get, path, default)

    def set(self, path: str, value: Any) -> None:
        self._caller.now(self._context.set, path, value)


class ThreadSession:
    """`self.session` of a stage in a thread."""

    def __init__(self, session: StageSession, caller: _Caller) -> None:
        self.id = session.id
        self.context: ContextView = ThreadContext(session.context, caller)
        self._session = session
        self._caller = caller

    @property
    def pipeline(self) -> Any:
        return self._caller.now(lambda: self._session.pipeline)

    def emit(self, event: Event) -> None:
        self._caller.now(self._session.emit, event)

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        return await self._caller.later(self._session.wait_input(type_, timeout))

    @property
    def input_history(self) -> Sequence[dict[str, Any]]:
        return self._caller.now(lambda: self._session.input_history)

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None:
        return self._caller.now(self._session.last_input, type_)


class ThreadRuntime:
    """A stage's runtime for use in a thread."""

    def __init__(self, runtime: StageRuntime, loop: asyncio.AbstractEventLoop) -> None:
        self._runtime = runtime
        self._caller = _Caller(loop)
        self.session: StageSession = ThreadSession(runtime.session, self._caller)
        self.missing = runtime.missing
        self.idempotency_key = runtime.idempotency_key
        self.attempt = runtime.attempt

    @property
    def arguments(self) -> dict[str, Any]:
        return self._caller.now(lambda: self._runtime.arguments)

    def emit(self, name: str, payload: Any) -> None:
        self._caller.now(self._runtime.emit, name, payload)

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        return await self._caller.later(self._runtime.wait_input(type_, timeout, schema))

    async def sleep(self, seconds: float) -> None:
        await self._caller.later(self._runtime.sleep(seconds))

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        """The function runs in the thread, as the stage does; what it gives is recorded on the engine's loop."""
        here = asyncio.get_running_loop()

        async def call(*given: Any) -> Any:
            self._caller.works()
            try:
                return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_coroutine(function(*given)), here))
            finally:
                self._caller.rests()

        return await self._caller.later(self._runtime.step(name, call, args))

    def complete(self, outputs: dict[str, Any]) -> None:
        self._caller.now(self._runtime.complete, outputs)

    async def run(self, stage: BaseStage) -> None:
        """Run a stage that was bound to this, and return or raise as its `run` does. Cancelled, it cancels the stage
        and does not wait for it."""
        thread = StageThread(stage, self._caller)
        self._caller.works()
        thread.start()
        try:
            await asyncio.wrap_future(thread.outcome)
        except asyncio.CancelledError:
            thread.cancel()
            raise
        finally:
            self._caller.let_go()


class StageThread(Thread):
    """A thread that runs one stage to its `outcome`."""

    def __init__(self, stage: BaseStage, caller: _Caller) -> None:
        super().__init__(name=f"stage {stage.stage_name} at node {stage.stage_id}", daemon=True)
        self.outcome: Future[None] = Future()
        self._stage = stage
        self._caller = caller
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancelled = False

    def run(self) -> None:
        if not self.outcome.set_running_or_notify_cancel():
            return
        try:
            asyncio.run(self._run_stage())
        except KeyboardInterrupt:  # not the user's: those go to the main thread
            self.outcome.set_exception(StageError("the stage raised KeyboardInterrupt"))
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(None)

    async def _run_stage(self) -> None:
        with self._lock:
            self._caller.main = asyncio.current_task()
            self._loop = asyncio.get_running_loop()
            if self._cancelled:
                raise asyncio.CancelledError
        await begun(self._stage)

    def cancel(self) -> None:
        """Cancel what the stage awaits, now or next. May be called from any thread."""
        with self._lock:
            self._cancelled = True
            if self._loop is not None and self._caller.main is not None:
                with suppress(RuntimeError):  # the loop is closed: the stage is through
                    self._loop.call_soon_threadsafe(self._caller.main.cancel)


async def _coroutine(work: Awaitable[T]) -> T:
    return await work
