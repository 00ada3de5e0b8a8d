"""An event loop that skips the time in which nothing happens: when nothing is ready, its clock jumps to the next timer.

The clock counts whole microseconds, as the times of events do. While somebody is at work outside, the loop waits for
them as any loop does, in real time, and the clock stands: it moves on only to what would come due in that time.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable
from concurrent.futures import Executor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import msgspec

from stageflow_es.engine.own_time import OwnTime
from stageflow_es.log import logger
from stageflow_es.testing.deadlock import Deadlock, describe
from stageflow_es.testing.outside import Outside

log = logger(__name__)

SECOND = 1_000_000
LONGEST = 2**33 * SECOND
"""272 years: up to there a microsecond more makes another float."""
GLANCE = 0.02
"""Seconds in real time after which it is looked whether those outside are still there."""

Ready = list[tuple[selectors.SelectorKey, int]]
Wait = Callable[[float | None], Ready]


class _Appointment(msgspec.Struct, order=True):
    """Somebody is to be told when the clock shows `moment` and all is done that was due by then. `after`: as in
    `SkippingLoop._hear`."""

    moment: int
    number: int
    after: float
    reached: asyncio.Future[None]


class _Selector(selectors.DefaultSelector):
    """Looks whether I/O is ready; where asyncio would wait for it, `idle` decides what to do."""

    def __init__(self, idle: Callable[[Wait], Ready]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> Ready:
        ready = super().select(0)
        return ready if ready or timeout == 0 else self._idle(super().select)


class SkippingLoop(OwnTime, asyncio.SelectorEventLoop):
    """The loop. `start` is what its clock shows at first, `patience` how many seconds in real time what may be at work
    outside can be silent until it counts as idle."""

    _scheduled: list[asyncio.TimerHandle]
    """asyncio's own: the timers that are set, as a heap."""

    def __init__(self, start: datetime, patience: float) -> None:
        self._start = start.astimezone(UTC)
        self._patience = patience
        self._now = 0
        self._end = min((datetime.max.replace(tzinfo=UTC) - self._start) // timedelta(microseconds=1), LONGEST)
        self._appointments: list[_Appointment] = []
        self._made = 0
        self._waited = 0.0
        self._set_after: dict[asyncio.TimerHandle, float] = {}
        self._warned = False
        selector = _Selector(self._idle)
        OwnTime.__init__(self)
        asyncio.SelectorEventLoop.__init__(self, selector)
        # asyncio takes what is due within this as due: so the last bit of a float never keeps a timer from its moment
        self._clock_resolution = 1 / SECOND
        self._at_work = Outside(self.outside, selector.get_map())

    # --- the time ---

    def time(self) -> float:
        return self._now / SECOND

    def wall(self) -> datetime:
        return self._start + timedelta(microseconds=self._now)

    async def advance(self, seconds: float) -> datetime:
        """Return when the clock shows a moment that many seconds from now and all is done that was due by then."""
        if not 0 <= seconds <= (self._end - self._now) / SECOND:
            raise ValueError(f"time cannot be moved by {seconds!r} seconds")
        reached = self.create_future()
        self._made += 1
        moment = self._now + round(seconds * SECOND)
        heapq.heappush(self._appointments, _Appointment(moment, self._made, self._waited, reached))
        await reached
        return self.wall()

    def _idle(self, wait: Wait) -> Ready:
        """Nothing is ready: hear what comes from outside, or let time pass."""
        appointment = self._next_appointment()
        kept = appointment is not None and appointment.moment <= self._now
        ahead = [self._next_timer()]
        if appointment is not None and not kept:
            ahead.append((appointment.moment, appointment.after))
        upcoming, after = min(filter(None, ahead), default=(None, 0.0))
        heard, over = self._hear(wait, upcoming, after)
        if not over:
            return heard
        self._waited = 0.0
        self._set_after.clear()
        if kept:
            heapq.heappop(self._appointments).reached.set_result(None)
        elif upcoming is None:
            raise Deadlock(describe(self, self.sessions, self._at_work.names()))
        else:
            self._now = upcoming
        return []

    def _next_timer(self) -> tuple[int, float] | None:
        """When the next timer is due, never before now, and after how much waiting it was set; none that the clock will
        not come to."""
        if not self._scheduled or self._scheduled[0].when() * SECOND > self._end:
            return None
        timer = self._scheduled[0]
        return max(round(timer.when() * SECOND), self._now), self._set_after.get(timer, 0.0)

    def _next_appointment(self) -> _Appointment | None:
        while self._appointments and self._appointments[0].reached.done():  # whoever made it was cancelled
            heapq.heappop(self._appointments)
        return self._appointments[0] if self._appointments else None

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        timer = super().call_at(when, callback, *args, **options)
        if self._waited:
            self._set_after[timer] = self._waited
        return timer

    def _hear(self, wait: Wait, upcoming: int | None, after: float) -> tuple[Ready, bool]:
        """What comes from outside in real time, and whether time is to go on: when the upcoming moment would have come
        by now, or nothing was heard of those who are perhaps at work, or nobody is any more. The clock stands while
        the loop waits: what was set `after` some of that waiting has to wait that much longer."""
        left = float("inf") if upcoming is None else (upcoming - self._now) / SECOND - (self._waited - after)
        began = monotonic()
        heard = self._listen(wait, min(left, self._patience))
        self._waited += monotonic() - began
        sure = self._at_work.sure
        if heard or left <= self._patience or not (sure or self._at_work.perhaps):
            return heard, not heard
        if not self._warned:
            self._warned = True
            so = "time stands" if sure else "time goes on"
            log.warning("silent_outside", silent=self._patience, at_work=self._at_work.names(), so=so)
        return [], not sure

    def _listen(self, wait: Wait, seconds: float) -> Ready:
        """What comes from outside within that many seconds, and before nobody is at work there any more: a thread may
        end with a word, or without."""
        while seconds > 0 and (self._at_work.sure or self._at_work.perhaps):
            if heard := wait(min(seconds, GLANCE)):
                return heard
            seconds -= GLANCE
        return wait(0)

    # --- what is begun outside ---

    def run_in_executor(  # type: ignore[override]
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        with self._at_work.knowing():
            call = super().run_in_executor(executor, func, *args)
        self.outside.add(call)
        call.add_done_callback(self.outside.discard)
        return call

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        self.outside.add(self)
        try:
            await super().shutdown_default_executor(*timeout)
        finally:
            self.outside.discard(self)

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        begun = await super().subprocess_exec(*args, **options)
        self._at_work.processes.append(begun[0])
        return begun

    async def subprocess_shell(self, *args: Any, **options: Any) -> Any:
        begun = await super().subprocess_shell(*args, **options)
        self._at_work.processes.append(begun[0])
        return begun
