"""Virtual time: an asyncio event loop on which every simulated process has its own turn, its own clocks, and can die.

Callbacks of one process run in the order it made them, as asyncio promises. Which process comes next is the seed's
to say. When nothing is ready the clock jumps to the next timer, so waiting costs nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
LAST_ROUNDS = 20
"""How often a dying process's tasks are cancelled; one that will not end even then stays as it is."""


class Process:
    """A process: callbacks waiting for their turn, tasks, a monotonic clock that runs at `rate` from `origin`
    (seconds), and a wall clock that is `skew` wrong. `doom`: callbacks it has left to run, None: it is to live."""

    def __init__(self, name: str, *, rate: float = 1.0, origin: float = 0.0, skew: float = 0.0) -> None:
        self.name = name
        self.rate = rate
        self.origin = origin
        self.skew = timedelta(seconds=skew)
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        self.alive = True
        self.frozen = False
        self.doom: int | None = None

    def monotonic(self, moment: int) -> float:
        """What its monotonic clock shows at `moment` (microseconds)."""
        return self.origin + moment * self.rate / SECOND

    def moment(self, reading: float) -> int:
        """The first moment at which its monotonic clock shows `reading` or more."""
        moment = math.floor((reading - self.origin) * SECOND / self.rate)
        while self.monotonic(moment) < reading:
            moment += 1
        return moment

    def keep(self, task: asyncio.Task[Any]) -> None:
        if len(self.tasks) > 64 and sum(map(_done, self.tasks)) > len(self.tasks) // 2:
            self.tasks = [task for task in self.tasks if not task.done()]
        self.tasks.append(task)


def _done(task: asyncio.Task[Any]) -> bool:
    return task.done()


PROCESS: ContextVar[Process] = ContextVar("process")
"""The process whose code runs."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """The loop. `now` is the true time in microseconds; `problems` are exceptions nobody caught; `errands`: what the
    world has still to do."""

    def __init__(self, random: Random) -> None:
        self.now = 0
        self.world = Process("world")
        self.problems: list[str] = []
        self.on_death: Callable[[Process], None] = lambda process: None
        self.steps = 0
        self.errands = 0
        self._random = random
        self._current = self.world
        self._processes: list[Process] = [self.world]
        self._timers: list[tuple[int, int, asyncio.Handle, Process]] = []
        self._made = 0

    # --- processes ---

    def spawn(self, process: Process, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin a process with one task."""
        if process not in self._processes:
            self._processes.append(process)
        context = copy_context()
        context.run(PROCESS.set, process)
        return self.create_task(main, name=process.name, context=context)

    def wall(self, process: Process | None = None) -> datetime:
        """The true time, or what a process's wall clock shows."""
        true = EPOCH + timedelta(microseconds=self.now)
        return true if process is None else true + process.skew

    def kill(self, process: Process) -> None:
        """End a process at once. What its code does while it is torn down reaches nobody: its ports are dead."""
        process.alive, process.doom = False, None
        running = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        before, self._current = self._current, process
        for _ in range(LAST_ROUNDS):
            left = [task for task in process.tasks if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            while process.ready:
                self._run(process.ready.popleft())
        process.ready.clear()
        process.tasks.clear()
        self._processes.remove(process)
        self._current = before
        asyncio._set_running_loop(running)
        self.on_death(process)

    # --- running ---

    @staticmethod
    def check_alone() -> None:
        """Raises RuntimeError inside another event loop."""
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("a simulation runs an event loop of its own: begin it outside of any other")

    def run_until(self, done: Callable[[], bool], limit: float) -> bool:
        """Run until `done`, which is asked whenever time is about to pass; False: `limit` seconds went by first."""
        end = self.now + round(limit * SECOND)
        asyncio._set_running_loop(self)
        try:
            while True:
                process = self._next_process()
                if process is not None:
                    self._turn(process)
                elif done():
                    return True
                elif not self._advance(end):
                    return False
        finally:
            asyncio._set_running_loop(None)

    def _next_process(self) -> Process | None:
        candidates = [process for process in self._processes if process.ready and not process.frozen]
        if len(candidates) > 1:
            return candidates[int(self._random.random() * len(candidates))]
        return candidates[0] if candidates else None

    def _turn(self, process: Process) -> None:
        self.steps += 1
        self._current = process
        self._run(process.ready.popleft())
        self._current = self.world
        if process.doom is not None:
            process.doom -= 1
            if process.doom < 0:
                self.kill(process)

    def _run(self, handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            handle._run()

    def _advance(self, end: int) -> bool:
        """Jump to the next timer and make ready what is due then; False: there is none before `end`."""
        while self._timers and (self._timers[0][2].cancelled() or not self._timers[0][3].alive):
            heapq.heappop(self._timers)
        if not self._timers or self._timers[0][0] > end:
            self.now = end
            return False
        self.now = max(self.now, self._timers[0][0])
        while self._timers and self._timers[0][0] <= self.now:
            _, _, handle, process = heapq.heappop(self._timers)
            if process.alive and not handle.cancelled():
                process.ready.append(handle)
        return True

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return self._current.monotonic(self.now)

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        context = copy_context() if context is None else context
        process: Process = context.get(PROCESS, self.world)
        handle = asyncio.Handle(callback, args, self, context)
        process.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        context = copy_context() if context is None else context
        process: Process = context.get(PROCESS, self.world)
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1
        heapq.heappush(self._timers, (process.moment(when), self._made, handle, process))
        return handle

    def after(self, seconds: float, callback: Callable[..., Any], *args: Any) -> None:
        """Have the world itself do something, whatever process asks for it."""

        def errand() -> None:
            self.errands -= 1
            callback(*args)

        handle = asyncio.Handle(errand, (), self, _WORLD.copy())
        self._made += 1
        self.errands += 1
        heapq.heappush(self._timers, (self.now + round(seconds * SECOND), self._made, handle, self.world))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Its entry is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        context: Context | None = options.get("context")
        process = self._current if context is None else context.get(PROCESS, self.world)
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, **options)
        process.keep(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """No threads: the function runs on the loop, after a time of the seed's choosing."""
        future = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(self._random.uniform(0, 0.5), call)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.problems.append(f"{context.get('message')}: {error!r}")

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False


_WORLD = Context()
