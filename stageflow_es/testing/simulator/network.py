"""A process's connection to the server: requests that take time, get lost, arrive late or twice, or are not answered.

A request on its way is executed whatever becomes of who sent it. That is all a crash at an `await` can mean outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from stageflow_es.engine.ports import BusError, Unanswered, WrongSequence
from stageflow_es.testing.simulator.loop import Process, VirtualLoop
from stageflow_es.testing.simulator.server import at_once
from stageflow_es.testing.simulator.trace import Trace
from stageflow_es.testing.simulator.weather import Weather

T = TypeVar("T")

PATIENCE = (0.05, 3.0)
LATE = (0.1, 25.0)


class Line:
    """One process's line to the server. `cut` while it reaches nothing, `blind` while it hears nothing of leases."""

    def __init__(self, process: Process, loop: VirtualLoop, weather: Weather, random: Random, trace: Trace) -> None:
        self.process = process
        self.loop = loop
        self.weather = weather
        self.random = random
        self.cut = False
        self.blind = False
        self._trace = trace

    async def ask(self, what: str, operation: Callable[[], Coroutine[Any, Any, T]], *, harmless: bool = False) -> T:
        """The answer to a request. Raises Unanswered, and what the server says. `harmless`: it may arrive twice."""
        if not self.process.alive:
            raise asyncio.CancelledError
        if self._dies("crash_before_request"):
            return await self.loop.create_future()  # type: ignore[no-any-return]
        answer: asyncio.Future[T] = self.loop.create_future()
        self._send(what, operation, answer)
        if harmless and self.weather.strikes("repeated_request", 0.01):
            self.loop.after(self.random.uniform(*LATE), self._execute, what, operation, None)
        self._dies("crash_after_request")
        return await answer

    def _send(self, what: str, operation: Callable[[], Coroutine[Any, Any, T]], answer: asyncio.Future[T]) -> None:
        strikes, after = self.weather.strikes, self.loop.after
        if self.cut or strikes("lost_request", 0.008):
            after(self.random.uniform(*PATIENCE), self._give_up, what, answer)
        elif strikes("late_request", 0.008):
            after(self.random.uniform(*LATE), self._execute, what, operation, None)
            after(self.random.uniform(*PATIENCE), self._give_up, what, answer)
        elif strikes("lost_answer", 0.012):
            after(self._delay(), self._execute, what, operation, None)
            after(self.random.uniform(*PATIENCE), self._give_up, what, answer)
        else:
            after(self._delay(), self._execute, what, operation, answer)

    def _delay(self) -> float:
        if self.weather.strikes("slow_bus", 0.005):
            return self.random.uniform(0.3, 6)
        return self.random.random() * 0.004

    def _dies(self, kind: str) -> bool:
        if self.weather.strikes(kind, 0.001):
            self.process.doom = 0
            return True
        return False

    def _give_up(self, what: str, answer: asyncio.Future[T]) -> None:
        if not answer.done():
            self._trace.add(self.loop.now, self.process.name, f"{what}: no answer")
            answer.set_exception(Unanswered(f"{what}: no answer"))

    def _execute(
        self, what: str, operation: Callable[[], Coroutine[Any, Any, T]], answer: asyncio.Future[T] | None
    ) -> None:
        """The server does what it was asked, and answers if that gets through."""
        result: Any = None
        problem: BusError | None = None
        try:
            result = at_once(operation())
        except BusError as error:
            problem = error
        if isinstance(problem, WrongSequence):
            self.weather.happened("conflict" if what.startswith("append") else "checkpoint_refused")
        if not what.startswith("fetch") or result:
            heard = "" if answer is not None else " (unheard)"
            self._trace.add(self.loop.now, self.process.name, f"{what}: {_short(result, problem)}{heard}")
        if answer is None:
            return
        if self.random.random() < 0.5:
            self.loop.after(self.random.random() * 0.004, self._answer, answer, result, problem)
        else:
            self._answer(answer, result, problem)

    def _answer(self, answer: asyncio.Future[Any], result: Any, problem: BusError | None) -> None:
        if answer.done() or not self.process.alive:
            return
        if problem is not None:
            answer.set_exception(problem)
        else:
            answer.set_result(result)
        if self.weather.strikes("crash_after_answer", 0.001):
            self.process.doom = self.random.randrange(1, 12)


def _short(result: Any, problem: BusError | None) -> str:
    if problem is not None:
        return type(problem).__name__
    if isinstance(result, (list, bytes)):
        return f"{len(result)} of them"
    return str(result) if isinstance(result, (int, str)) else ""
