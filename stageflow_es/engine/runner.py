"""One run of one stage: the user's coroutine, from its start to the report it ends with.

A run that was cancelled reports nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.engine.awaiting import begun, never_awaits, running
from stageflow_es.engine.durable_calls import NOTHING, DurableCalls
from stageflow_es.engine.inbox import ReportItem
from stageflow_es.engine.stage_view import SessionView
from stageflow_es.engine.stopwatch import Stopwatch
from stageflow_es.engine.threads import ThreadRuntime, called_alone
from stageflow_es.log import logger
from stageflow_es.pipeline import StageNode
from stageflow_es.pipeline.values import shown
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.paths import copy
from stageflow_es.session.state import Run
from stageflow_es.stages import BaseStage
from stageflow_es.stages.runtime import StageRuntime

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

log = logger(__name__)

MAX_MESSAGE = 4_000
"""Characters of an exception's text that are recorded."""


class StageRun(msgspec.Struct, eq=False):
    """The runtime of one stage (see `stages.runtime.StageRuntime`). `id` is the run as the core knows it; `instance`
    the stage itself, made at the start unless an earlier attempt left it."""

    actor: Actor
    id: cmd.RunId
    session: SessionView
    _run: Run
    _node: StageNode
    _stage: type[BaseStage]
    instance: BaseStage | None = None
    _calls: DurableCalls | None = None
    _task: asyncio.Task[None] | None = None
    _stopwatch: Stopwatch | None = None
    _dead: bool = False

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.name}>"

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
    def time(self) -> Stopwatch:
        """The time it runs, which its timeout bounds."""
        if self._stopwatch is None:
            self._stopwatch = Stopwatch(self._stage.timeout, self._time_out, self._leave_behind)
        return self._stopwatch

    def may_retry(self) -> bool:
        """Whether a failure would lead to another attempt."""
        return self._run.failures < self._stage.retries

    @property
    def resting(self) -> bool:
        """Whether the stage waits and does nothing else."""
        return self._run.blocked > 0

    @property
    def waiting(self) -> Collection[str]:
        """The keys of the calls the stage waits in."""
        return () if self._calls is None else self._calls.waiting

    def overtaken(self, state: State) -> bool:
        """Whether the same run, in another engine, waits for something this one has not come to. That engine may have
        let the session go to rest, and would never learn of what this one reports."""
        scope = self.id.scope
        run = state.runs.get(scope)
        if run is None or not run.blocked or run.id(scope) != self.id:
            return False
        calls = self._calls
        return any(
            record.open and record.alone and (calls is None or not calls.made(key))
            for key, record in run.records.items()
        )

    # --- life ---

    def start(self) -> None:
        """Begin. A stage that never awaits is over when this returns: it needs no task of its own."""
        self.session.attach(self)
        if self._run.records:
            self._calls = DurableCalls(self, self._run, self._run.records.copy())
        if never_awaits(self._stage):
            self._run_now()
        else:
            self._task = asyncio.get_running_loop().create_task(self._execute(), name=self.name)

    @property
    def name(self) -> str:
        """What runs, for whoever watches over the event loop."""
        return f"stage {self._node.stage} at node {self._node.id} of session {self.session.id}"

    def _run_now(self) -> None:
        watched = self.actor.host.watched
        watched.doing = self
        try:
            for _ in self._bind(self).run().__await__():
                raise AssertionError(f"{self.name} awaited")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            report: cmd.AnyCommand = self._raised(error)
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
        if self._calls is not None:
            self._calls.release()
        self.instance = None
        if self._task is not None:  # what has none never waits
            self._task = None
            self.actor.host.waiting.leave(self)
        if self._stopwatch is not None:
            self._stopwatch.end()
            self._stopwatch = None

    async def _execute(self) -> None:
        try:
            self.hold_back_if_lapsed()
            await self._run_stage()
            report = self._completion()
        except asyncio.CancelledError:
            if self._dead or not self.time.expired:
                if not self._dead:
                    self._finish(self._failure("CancelledError", "the stage was cancelled from inside"))
                raise
            if self._stage.blocking:
                self.instance = None  # its thread may have it still: what that does is not the next attempt's
            report = self._too_long()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, GeneratorExit) and not running(self._task):
                raise  # the coroutine is closed, from outside
            report = self._raised(error)
        self._finish(report)

    def hold_back_if_lapsed(self) -> None:
        """Begin nothing outside once the lease has lapsed: another engine may have done it, and be past it."""
        if not self.actor.host.holds():
            self.cancel()
            self.actor.workers.hold_back(self)
            raise asyncio.CancelledError

    async def _run_stage(self) -> None:
        if self._stage.blocking:
            runtime = ThreadRuntime(self, asyncio.get_running_loop())
            stage = self._bind(runtime)
            self.time.start()
            await runtime.run(stage)
        else:
            stage = self._bind(self)
            self.time.start()
            await begun(stage)

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
            actor = self.actor
            actor.workers.finished(self)
            actor.post(ReportItem(command=report, run=self))
        self._let_go()

    def _completion(self) -> cmd.AnyCommand:
        if self._calls is not None and (leftover := self._calls.not_repeated()):
            message = f"the repeated run did not make the recorded call {leftover[0]!r}: a stage must repeat its calls"
            return self._failure("StageMismatch", message)
        host = self.actor.host
        return cmd.CompleteStage(at=host.at(), by=host.name, run=self.id, writes=self.session.context.writes)

    def _raised(self, error: BaseException) -> cmd.FailStage:
        self.actor.host.raised(self._node.stage, self.name, error)
        return self._failure(type(error).__name__, _text(error))

    def _failure(self, kind: str, message: str, *, timed_out: bool = False) -> cmd.FailStage:
        stage = self._stage
        return cmd.FailStage(
            at=self.actor.host.at(),
            by=self.actor.host.name,
            run=self.id,
            error_type=shown(kind),
            message=shown(message),
            timed_out=timed_out,
            retries=stage.retries,
            delay=stage.retry_delay,
            backoff=stage.retry_backoff,
        )

    def _too_long(self) -> cmd.FailStage:
        return self._failure("TimeoutError", f"ran longer than {self._stage.timeout} s", timed_out=True)

    def _time_out(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _leave_behind(self) -> None:
        """The stage was cancelled and goes on all the same: the session does so without it."""
        log.error("stage_does_not_end", by=self.name, mend="let asyncio.CancelledError through, at its timeout")
        self.instance = None
        self._finish(self._too_long())

    # --- what the stage asks for ---

    def complete(self, outputs: dict[str, Any]) -> None:
        """Take output values; those the node does not map are dropped."""
        paths, context = self._node.outputs, self.session.context
        for key, value in outputs.items():
            if key in paths:
                context.set(paths[key], value)

    @property
    def _durable(self) -> DurableCalls:
        if self._dead:
            raise asyncio.CancelledError
        if self._calls is None:
            self._calls = DurableCalls(self, self._run, NOTHING)
        return self._calls

    def emit(self, name: str, payload: Any) -> None:
        self._durable.emit(name, payload)

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        return await self._durable.step(name, function, args)

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        return await self._durable.wait_input(type_, timeout, schema)

    async def sleep(self, seconds: float) -> None:
        await self._durable.sleep(seconds)

    def alone(self) -> bool:
        """Whether the stage itself makes the call that is under way, and not a task it runs beside other things."""
        return called_alone.get() if self._stage.blocking else asyncio.current_task() is self._task

    # --- at rest ---

    def may_park(self) -> None:
        """From now on the run may be taken out of memory, if it does nothing but wait."""
        if self.resting:
            self.actor.host.waiting.enter(self)

    def park(self) -> None:
        """Take the run out of memory, unless it has something to do again by now."""
        if self.resting and not self._dead:
            self.actor.workers.park(self)

    def follow(self, run: Run, *, active: bool) -> None:
        """The state's view of this run, now durable: answer the calls that are closed. While the session is paused
        (not `active`) nothing is woken."""
        self._run = run
        if self._calls is not None:
            self._calls.follow(run, active=active)


def _text(error: BaseException) -> str:
    """What an error says; some cannot even say that."""
    try:
        return str(error)[:MAX_MESSAGE]
    except Exception:
        return "(the error has no text)"
