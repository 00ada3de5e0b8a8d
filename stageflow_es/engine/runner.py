"""One run of one stage: the user's coroutine, and the durable calls it makes.

Calls are matched to what an earlier run of the same attempt recorded by kind, name and occurrence; what is recorded
is returned instead of happening twice. A run that was cancelled reports nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import isnan, nan
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from stageflow_es.engine.awaiting import never_awaits, running
from stageflow_es.engine.inbox import ReportItem
from stageflow_es.engine.stage_view import SessionView, plain
from stageflow_es.engine.stopwatch import Stopwatch
from stageflow_es.engine.threads import ThreadRuntime, called_alone
from stageflow_es.errors import StageError
from stageflow_es.pipeline import StageNode
from stageflow_es.pipeline.values import is_text, shown
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.paths import copy
from stageflow_es.session.runs import MAX_SECONDS
from stageflow_es.session.state import Record, Run, Scope
from stageflow_es.stages import BaseStage
from stageflow_es.stages.runtime import StageRuntime

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

MAX_MESSAGE = 4_000
"""Characters of an exception's text that are recorded."""
_NOTHING: Mapping[str, Record] = MappingProxyType({})
"""What a run has recorded that is the first of its attempt."""


class StageRun:
    """The runtime of one stage (see `stages.runtime.StageRuntime`). `id` is the run as the core knows it."""

    __slots__ = (
        "_actor",
        "_dead",
        "_node",
        "_occurrences",
        "_recorded",
        "_run",
        "_stage",
        "_stopwatch",
        "_task",
        "_waiting",
        "id",
        "instance",
        "session",
    )

    def __init__(
        self,
        actor: Actor,
        state: State,
        scope: Scope,
        run: Run,
        node: StageNode,
        stage: type[BaseStage],
    ) -> None:
        self.instance: BaseStage | None = None
        self.id = run.id(scope.path)
        self.session = SessionView(self, actor, state, scope)
        self._actor = actor
        self._run = run
        self._node = node
        self._stage = stage
        self._task: asyncio.Task[None] | None = None
        self._occurrences: dict[str, int] = {}
        self._recorded: Mapping[str, Record] = dict(run.records) if run.records else _NOTHING
        self._waiting: dict[str, asyncio.Future[Record]] = {}
        self._dead = False
        self._stopwatch: Stopwatch | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """The mapped arguments, copied anew."""
        arguments: dict[str, Any] = copy(self._run.arguments)
        return arguments

    @property
    def missing(self) -> frozenset[str]:
        """Names of the arguments whose context path was missing."""
        return frozenset(self._run.missing)

    @property
    def attempt(self) -> int:
        """1 for the first attempt, one more for every retry."""
        return self.id.attempt

    @property
    def idempotency_key(self) -> str:
        """The same in every run and retry of this visit of the node."""
        return f"{self.session.id}:{self.id.scope}:{self._node.id}:{self.id.visit}"

    @property
    def _time(self) -> Stopwatch:
        if self._stopwatch is None:
            self._stopwatch = Stopwatch(self._stage.timeout, self._time_out)
        return self._stopwatch

    def may_retry(self) -> bool:
        """Whether a failure would lead to another attempt."""
        return self._run.failures < self._stage.retries

    @property
    def resting(self) -> bool:
        """Whether the stage waits and does nothing else."""
        return self._run.blocked > 0

    def overtaken(self, state: State) -> bool:
        """Whether the same run, in another engine, waits for something this one has not come to. That engine may have
        let the session go to rest, and would never learn of what this one reports."""
        scope = self.id.scope
        run = state.runs.get(scope)
        if run is None or not run.blocked or run.id(scope) != self.id:
            return False
        return any(record.open and record.alone and not self._made(key) for key, record in run.records.items())

    def _made(self, key: str) -> bool:
        call, _, number = key.rpartition(":")
        return int(number) < self._occurrences.get(call, 0)

    # --- life ---

    def start(self) -> None:
        """Begin. A stage that never awaits is over when this returns: it needs no task of its own."""
        if never_awaits(self._stage):
            self._run_now()
        else:
            self._task = asyncio.get_running_loop().create_task(self._execute(), name=self.name)

    @property
    def name(self) -> str:
        """What runs, for whoever watches over the event loop."""
        return f"stage {self._node.stage} at node {self._node.id} of session {self.session.id}"

    def _run_now(self) -> None:
        watched = self._actor.host.watched
        watched.doing = self
        try:
            for _ in self._bind(self).run().__await__():
                raise AssertionError(f"{self.name} awaited")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report: cmd.AnyCommand = self._failure(type(error).__name__, _text(error))
        else:
            report = self._completion()
        finally:
            watched.doing = None
        self._finish(report)

    def cancel(self) -> None:
        """End the run without a report."""
        self._dead = True
        if self._task is not None:
            self._task.cancel()
        self._let_go()

    def _let_go(self) -> None:
        """Forget what points back here: without cycles nothing waits for a collection."""
        self.session.release()
        self.instance = None
        if self._task is not None:  # what has none never waits
            self._task = None
            self._actor.host.waiting.leave(self)
        if self._stopwatch is not None:
            self._stopwatch.end()
            self._stopwatch = None

    async def _execute(self) -> None:
        try:
            self._hold_back_if_lapsed()
            await self._run_stage()
            report = self._completion()
        except asyncio.CancelledError:
            if self._dead or not self._time.expired:
                if not self._dead:
                    self._finish(self._failure("CancelledError", "the stage was cancelled from inside"))
                raise
            report = self._failure("TimeoutError", f"ran longer than {self._stage.timeout} s", timed_out=True)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not running(self._task):
                raise  # the coroutine is closed, from outside
            report = self._failure(type(error).__name__, _text(error))
        self._finish(report)

    def _hold_back_if_lapsed(self) -> None:
        """Begin nothing outside once the lease has lapsed: another engine may have done it, and be past it."""
        if not self._actor.host.holds():
            self.cancel()
            self._actor.workers.hold_back(self)
            raise asyncio.CancelledError

    async def _run_stage(self) -> None:
        if self._stage.blocking:
            runtime = ThreadRuntime(self, asyncio.get_running_loop())
            stage = self._bind(runtime)
            self._time.start()
            await runtime.run(stage)
        else:
            stage = self._bind(self)
            self._time.start()
            await stage.run()

    def _bind(self, runtime: StageRuntime) -> BaseStage:
        if self.instance is not None:
            self.instance.rebind(runtime)
            return self.instance
        node = self._node
        self.instance = self._stage.bind(
            stage_id=node.id, config=node.config, arguments=node.arguments, outputs=node.outputs, runtime=runtime
        )
        return self.instance

    def _finish(self, report: cmd.AnyCommand) -> None:
        if not self._dead:
            self._dead = True
            actor = self._actor
            actor.workers.finished(self)
            actor.post(ReportItem(report, None, self))
        self._let_go()

    def _completion(self) -> cmd.AnyCommand:
        if self._recorded and (leftover := self._not_repeated()):
            message = f"the repeated run did not make the recorded call {leftover[0]!r}: a stage must repeat its calls"
            return self._failure("StageMismatch", message)
        host = self._actor.host
        return cmd.CompleteStage(at=host.at(), by=host.name, run=self.id, writes=self.session.context.writes)

    def _not_repeated(self) -> list[str]:
        """Recorded calls that this run did not make again; a step may be left out."""
        made = {f"{call}:{i}" for call, count in self._occurrences.items() for i in range(count)}
        return [key for key, record in self._recorded.items() if record.kind != "step" and key not in made]

    def _failure(self, kind: str, message: str, *, timed_out: bool = False) -> cmd.FailStage:
        stage = self._stage
        return cmd.FailStage(
            at=self._actor.host.at(),
            by=self._actor.host.name,
            run=self.id,
            error_type=shown(kind),
            message=shown(message),
            timed_out=timed_out,
            retries=stage.retries,
            delay=stage.retry_delay,
            backoff=stage.retry_backoff,
        )

    def _time_out(self) -> None:
        if self._task is not None:
            self._task.cancel()

    # --- what the stage asks for ---

    def complete(self, outputs: dict[str, Any]) -> None:
        """Take output values; those the node does not map are dropped."""
        paths, context = self._node.outputs, self.session.context
        for key, value in outputs.items():
            if key in paths:
                context.set(paths[key], value)

    def emit(self, name: str, payload: dict[str, Any]) -> None:
        key, record = self._call("emit", name)
        if record is None:
            carried = plain(payload, "the payload of event", name)
            if not isinstance(carried, dict):
                raise StageError(f"the payload of event {name!r} must be an object")
            self._report(cmd.EmitEvent, key=key, name=name, payload=carried)

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        key, record = self._call("step", name)
        if record is None:
            self._hold_back_if_lapsed()
            value = plain(await function(*args), "the result of step", name)
            await self._durably(cmd.RecordStep, key=key, name=name, value=value)
            return value
        return copy(record.value)

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        if timeout is not None:
            timeout = _seconds(timeout, "the timeout of a wait")
        key, record = self._call("wait", type_)
        if record is None:
            await self._durably(cmd.OpenWait, key=key, type=type_, schema=schema, timeout=timeout, alone=self._alone())
        value = await self._answer(key)
        return copy(value) if isinstance(value, dict) else None

    async def sleep(self, seconds: float) -> None:
        seconds = _seconds(seconds, "the time to sleep")
        key, record = self._call("sleep", "")
        if record is None:
            await self._durably(cmd.StartSleep, key=key, seconds=seconds, alone=self._alone())
        await self._answer(key)

    def _alone(self) -> bool:
        """Whether the stage itself makes the call, and not a task it runs beside other things."""
        return called_alone.get() if self._stage.blocking else asyncio.current_task() is self._task

    def _call(self, kind: str, name: str) -> tuple[str, Record | None]:
        if self._dead:
            raise asyncio.CancelledError
        if not is_text(name):
            raise StageError(f"a stage cannot {kind} {name!a}: that is no text")
        call = f"{kind}:{name}"
        count = self._occurrences.get(call, 0)
        self._occurrences[call] = count + 1
        key = f"{call}:{count}"
        return key, self._recorded.get(key)

    def _report(self, report: type[cmd.RunReport], **fields: Any) -> asyncio.Future[None]:
        host = self._actor.host
        done = asyncio.get_running_loop().create_future()
        command: Any = report(at=host.at(), by=host.name, run=self.id, **fields)
        self._actor.post(ReportItem(command, done, self))
        return done

    async def _durably(self, report: type[cmd.RunReport], **fields: Any) -> None:
        with self._time.paused():
            await self._report(report, **fields)
        if self._dead:
            raise asyncio.CancelledError

    async def _answer(self, key: str) -> Any:
        """Wait until the recorded call is closed, durably, and return what it came to."""
        with self._time.paused_if(self._alone()):
            record = self._closed(key)
            if record is None:
                future: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
                self._waiting[key] = future
                self._look_again()
                self._may_park()
                try:
                    record = await future
                finally:
                    del self._waiting[key]
        return record.value

    def _closed(self, key: str) -> Record | None:
        """The recorded call if it is closed in the state as it is durable: not while an append is under way, nor while
        the log is read again because one was refused."""
        actor = self._actor
        if actor.appending or actor.state is None or actor.state.runs.get(self.id.scope) is not self._run:
            return None
        record = self._run.records.get(key)
        return None if record is None or record.open else record

    def _look_again(self) -> None:
        """Have the actor look at this run once its append is durable: what the run waits for may be in it, or be there
        already. A log that is read again brings every run to be looked at."""
        if self._actor.appending and self._actor.state is not None:
            self._actor.state.touch(self.id.scope)

    def _may_park(self) -> None:
        """From now on the run may be taken out of memory, if it does nothing but wait."""
        if self.resting:
            self._actor.host.waiting.enter(self)

    def park(self) -> None:
        """Take the run out of memory, unless it has something to do again by now."""
        if self.resting and not self._dead:
            self._actor.workers.park(self)

    def follow(self, run: Run, *, active: bool) -> None:
        """The state's view of this run, now durable: answer the calls that are closed. While the session is paused
        (not `active`) nothing is woken."""
        self._run = run
        if not active:
            return
        for key, future in self._waiting.items():
            record = self._closed(key)
            if record is not None and not future.done():
                self._actor.host.waiting.leave(self)
                future.set_result(record)
        if self._waiting and self not in self._actor.host.waiting:
            self._may_park()


def _seconds(given: Any, what: str) -> float:
    """A number of seconds as it can be recorded; however long, it is a number."""
    try:
        seconds = float(given)
    except (TypeError, ValueError, OverflowError):
        seconds = nan
    if isnan(seconds) or isinstance(given, str):
        raise StageError(f"{what} must be a number of seconds, not {given!a}")
    return min(max(seconds, 0.0), MAX_SECONDS)


def _text(error: BaseException) -> str:
    """What an error says; some cannot even say that."""
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception:
        return "(the error has no text)"
