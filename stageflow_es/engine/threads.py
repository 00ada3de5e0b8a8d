"""Stages that block: run in a thread with an event loop of its own, their durable calls made on the engine's.

A thread cannot be ended from outside. When its run is cancelled, its next call raises, and what it returns is not
recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from stageflow_es.stages import BaseStage
from stageflow_es.stages.runtime import ContextView, StageRuntime, StageSession

T = TypeVar("T")


class _Caller:
    """Makes calls on the engine's loop for a thread that waits for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

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

    async def later(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine run on the loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))


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

    def emit(self, name: str, payload: dict[str, Any]) -> None:
        self._caller.now(self._runtime.emit, name, payload)

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        return await self._caller.later(_coroutine(self._runtime.wait_input(type_, timeout, schema)))

    async def sleep(self, seconds: float) -> None:
        await self._caller.later(_coroutine(self._runtime.sleep(seconds)))

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        """The function runs in the thread, as the stage does; what it gives is recorded on the engine's loop."""
        here = asyncio.get_running_loop()

        async def call(*given: Any) -> Any:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_coroutine(function(*given)), here))

        return await self._caller.later(_coroutine(self._runtime.step(name, call, args)))

    def complete(self, outputs: dict[str, Any]) -> None:
        self._caller.now(self._runtime.complete, outputs)


async def _coroutine(work: Awaitable[T]) -> T:
    return await work


async def run_in_thread(stage: BaseStage) -> None:
    """Run a stage that was bound to a `ThreadRuntime`, and return or raise as its `run` does."""

    def work() -> None:
        asyncio.run(stage.run())

    await asyncio.to_thread(work)
