"""The durable calls of one run: what a stage emits, does once, waits for and sleeps through.

They are matched to what an earlier run of the same attempt recorded by kind, name and occurrence; what is recorded is
returned instead of happening twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import isnan, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stageflow_es.engine.inbox import ReportItem
from stageflow_es.engine.stage_view import plain
from stageflow_es.engine.steps import Steps
from stageflow_es.errors import StageError
from stageflow_es.pipeline.values import is_text
from stageflow_es.session import commands as cmd
from stageflow_es.session.paths import copy
from stageflow_es.session.runs import MAX_SECONDS
from stageflow_es.session.state import Record, Run

if TYPE_CHECKING:
    from stageflow_es.engine.runner import StageRun

NOTHING: Mapping[str, Record] = MappingProxyType({})
"""What a run has recorded that is the first of its attempt."""


class DurableCalls:
    """The calls `worker` makes; `recorded` is what an earlier run of its attempt did. Made when a stage first needs
    them: most never do."""

    __slots__ = ("_occurrences", "_recorded", "_run", "_worker", "waiting")

    def __init__(self, worker: StageRun, run: Run, recorded: Mapping[str, Record]) -> None:
        self._worker: StageRun | None = worker
        self._run = run
        self._recorded = recorded
        self._occurrences: dict[str, int] = {}
        self.waiting: dict[str, asyncio.Future[Record]] = {}
        """By their keys, the calls that are not answered yet."""

    def release(self) -> None:
        """The run is over: nothing can be called through this any more."""
        self._worker = None

    @property
    def _live(self) -> StageRun:
        if self._worker is None:
            raise asyncio.CancelledError
        return self._worker

    def made(self, key: str) -> bool:
        """Whether this run has made the call."""
        call, _, number = key.rpartition(":")
        return int(number) < self._occurrences.get(call, 0)

    def not_repeated(self) -> list[str]:
        """Recorded calls that this run did not make again; a step may be left out."""
        return [key for key, record in self._recorded.items() if record.kind != "step" and not self.made(key)]

    # --- what the stage asks for ---

    def emit(self, name: str, payload: Any) -> None:
        key, record = self._call("emit", name)
        if record is None:
            self._report(cmd.EmitEvent, key=key, name=name, payload=plain(payload, "the payload of event", name))

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        key, record = self._call("step", name)
        if record is None:
            self._live.hold_back_if_lapsed()
            with self._steps().inside(name):
                value = plain(await function(*args), "the result of step", name)
            await self._durably(cmd.RecordStep, key=key, name=name, value=value)
            return value
        return copy(record.value)

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        if timeout is not None:
            timeout = number_of_seconds(timeout, "the timeout of a wait")
        key, record = self._call("wait", type_)
        if record is None:
            if not type_:
                raise StageError("a stage cannot wait for an input without a type: nobody can send one")
            alone = self._live.alone()
            await self._durably(cmd.OpenWait, key=key, type=type_, schema=schema, timeout=timeout, alone=alone)
        value = await self._answer(key)
        return copy(value) if isinstance(value, dict) else None

    async def sleep(self, seconds: float) -> None:
        seconds = number_of_seconds(seconds, "the time to sleep")
        key, record = self._call("sleep", "")
        if record is None:
            await self._durably(cmd.StartSleep, key=key, seconds=seconds, alone=self._live.alone())
        await self._answer(key)

    def _call(self, kind: str, name: str) -> tuple[str, Record | None]:
        if not is_text(name):
            raise StageError(f"a stage cannot {kind} {name!a}: that is no text")
        call = f"{kind}:{name}"
        count = self._occurrences.get(call, 0)
        key = f"{call}:{count}"
        record = self._recorded.get(key)
        if record is None and (steps := self._live.session.context.steps) is not None:
            steps.refuse(f"{kind} {name!r}" if name else kind)
        self._occurrences[call] = count + 1
        return key, record

    def _steps(self) -> Steps:
        context = self._live.session.context
        if context.steps is None:
            context.steps = Steps()
        return context.steps

    # --- recorded, and answered ---

    def _report(self, report: type[cmd.RunReport], **fields: Any) -> asyncio.Future[None]:
        worker = self._live
        host = worker.actor.host
        done = asyncio.get_running_loop().create_future()
        command: Any = report(at=host.at(), by=host.name, run=worker.id, **fields)
        worker.actor.post(ReportItem(command=command, done=done, run=worker))
        return done

    async def _durably(self, report: type[cmd.RunReport], **fields: Any) -> None:
        with self._live.time.paused():
            await self._report(report, **fields)
        if self._worker is None:
            raise asyncio.CancelledError

    async def _answer(self, key: str) -> Any:
        """Wait until the recorded call is closed, durably, and return what it came to."""
        worker = self._live
        with worker.time.paused_if(worker.alone()):
            record = self._closed(worker, key)
            if record is None:
                future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
                self.waiting[key] = future
                self._look_again(worker)
                worker.may_park()
                try:
                    record = await future
                finally:
                    del self.waiting[key]
        return record.value

    def _closed(self, worker: StageRun, key: str) -> Record | None:
        """The recorded call if it is closed in the state as it is durable: not while an append is under way, nor while
        the log is read again because one was refused."""
        actor = worker.actor
        if actor.appending or actor.state is None or actor.state.runs.get(worker.id.scope) is not self._run:
            return None
        record = self._run.records.get(key)
        return None if record is None or record.open else record

    def _look_again(self, worker: StageRun) -> None:
        """Have the actor look at this run once its append is durable: what the run waits for may be in it, or be there
        already. A log that is read again brings every run to be looked at."""
        if worker.actor.appending and worker.actor.state is not None:
            worker.actor.state.touch(worker.id.scope)

    def follow(self, run: Run, *, active: bool) -> None:
        """The state's view of the run, now durable: answer the calls that are closed."""
        self._run = run
        worker = self._worker
        if worker is None or not active:
            return
        waiting = worker.actor.host.waiting
        for key, future in self.waiting.items():
            record = self._closed(worker, key)
            if record is not None and not future.done():
                waiting.leave(worker)
                future.set_result(record)
        if self.waiting and worker not in waiting:
            worker.may_park()


def number_of_seconds(given: Any, what: str) -> float:
    """A number of seconds as it can be recorded; however long, it is a number."""
    try:
        seconds = float(given)
    except (TypeError, ValueError, OverflowError):
        seconds = nan
    if isnan(seconds) or isinstance(given, str):
        raise StageError(f"{what} must be a number of seconds, not {given!a}")
    return min(max(seconds, 0.0), MAX_SECONDS)
