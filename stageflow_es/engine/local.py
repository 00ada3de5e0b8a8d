"""Sessions in this process, without a server: StageFlow's own API over the same core, actor and stage runner.

    session = Session(id="demo", pipeline=Pipeline.from_dict({...}), context=Context(payload={...}))
    result = await session.run()

Nothing here is durable; `snapshot()` gives what `from_snapshot` goes on from, and events have the same shape and
hash chain as on the bus.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.durable_calls import number_of_seconds
from stageflow_es.engine.listeners import Listeners
from stageflow_es.engine.local_arguments import check_handler, check_kinds, check_stages, check_type, is_name, json_of
from stageflow_es.engine.local_commands import LocalCommands
from stageflow_es.engine.local_host import LocalHost
from stageflow_es.engine.local_snapshot import image_of, restored
from stageflow_es.engine.own_time import own_time
from stageflow_es.engine.stage_view import latest
from stageflow_es.errors import CommandRejected, MissingArtifact, Problem, SessionFailed
from stageflow_es.pipeline import Pipeline as CompiledPipeline
from stageflow_es.pipeline.pointers import shown
from stageflow_es.session import commands as cmd
from stageflow_es.session.paths import copy
from stageflow_es.session.state import State
from stageflow_es.stageflow import Pipeline
from stageflow_es.stages import Context, DotDict, Event


class SessionResult:
    """How a session ended: `result` and `artifacts` of its terminal, its `history`, its `context`."""

    def __init__(
        self, artifacts: dict[str, Any], result: dict[str, Any] | None, history: list[Event], context: Context
    ) -> None:
        self.artifacts = artifacts
        self.result = result
        self.history = history
        self.context = context

    def to_dict(self) -> dict[str, Any]:
        return {
            "artifacts": self.artifacts,
            "result": self.result,
            "history": [event.to_dict() for event in self.history],
            "context": self.context.to_dict(),
        }


class Session:
    """One session in this process. `event_handler` is called with every event as it happens, and may be replaced at any
    time; what it raises comes out of `run`."""

    def __init__(
        self,
        id: str,
        pipeline: Pipeline | CompiledPipeline,
        context: Context | None = None,
        event_handler: Callable[[Event], None] | None = None,
    ) -> None:
        check_kinds(id, pipeline, context)
        check_handler(event_handler)
        self._pinned = pipeline.compiled if isinstance(pipeline, Pipeline) else pipeline
        check_stages(self._pinned)
        self.id = id
        self.pipeline = pipeline
        self._context = Context() if context is None else context
        self._shown = 0
        self._host = LocalHost(id, event_handler)
        self._actor = Actor(id, self._host)
        self._commands = LocalCommands(self._host, self._pinned)
        self._runners = 0
        self._listeners = Listeners()

    # --- running ---

    async def run(self) -> SessionResult:
        """Run to the end and return how it ended. Raises SessionFailed when the session fails. Cancelled, it leaves
        the session where it stands: `run` again goes on, beginning the stages that ran anew."""
        if not self._state.n:
            self._accepted(self._commands.begin(json_of(self._context.to_dict(), "the context")))
        self._commands.catch_up()
        self._runners += 1
        time = own_time(asyncio.get_running_loop())
        if time is not None:
            time.sessions.add(self)
        try:
            self._actor.poke()
            await self._host.ended.wait()
        finally:
            self._runners -= 1
            if not (self._runners or self._state.outcome):
                self._suspend()
            if time is not None and not self._runners:
                time.sessions.discard(self)
        self._raise_handlers_failure()
        return self._result()

    def _suspend(self) -> None:
        self._actor.close()
        self._actor = Actor(self.id, self._host)
        self._host.ended = asyncio.Event()

    def _raise_handlers_failure(self) -> None:
        failure, self._host.failure = self._host.failure, None
        if failure is not None:
            raise failure

    def _result(self) -> SessionResult:
        state = self._state
        context = self.context
        if state.outcome == "failed":
            kind = MissingArtifact if state.error and state.error.type == "MissingArtifact" else SessionFailed
            raise kind(self.id, state.error) from self._host.cause()
        return SessionResult(copy(state.artifacts), copy(state.result), self.event_history, context)

    def _send(self, kind: type[cmd.BusCommand], **fields: Any) -> Sequence[Problem]:
        try:
            return self._commands.send(kind, **fields)
        finally:
            self._look_again()

    def _look_again(self) -> None:
        """Have the actor look at what was sent, and at the log where an error has come between."""
        if self._actor.state is not self._host.whole:
            self._actor.state = None
        if self._runners:
            self._actor.poke()

    def _control(self, action: cmd.Action, scope: str | None = None) -> Sequence[Problem]:
        return self._send(cmd.Control, action=action, scope=scope)

    @property
    def _state(self) -> State:
        return self._host.state

    # --- inputs and control ---

    async def input(self, type_: str, payload: Any = None) -> dict[str, Any]:
        """Send an input; before `run` it is kept for it. Raises CommandRejected when the session refuses it.

        One of type `command` steers (`{"name": "stop"}`); if that is refused, an event says so, as in StageFlow.
        """
        check_type(type_)
        entry = {"type": type_, "payload": json_of(payload, "the payload")}
        if type_ == "command":
            self._steer(entry["payload"])
        else:
            before = self._state.n
            self._accepted(self._send(cmd.Input, **copy(entry)))
            buffered = self._state.inputs.get(type_)
            taken = self._state.n > 0 and not (buffered and buffered[-1].n > before)
            self._listeners.hear(copy(entry), taken=taken)
        self._after_sending()
        return entry

    def _steer(self, payload: Any) -> None:
        name = payload.get("name") if isinstance(payload, dict) else None
        if self._state.n or name not in cmd.ACTIONS:
            self._send(cmd.Input, type="command", payload=payload)
        else:
            self._control(name)

    def _after_sending(self) -> None:
        if not self._runners:
            self._raise_handlers_failure()

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait, beside the pipeline, for an input of a type: one that nobody took yet or the next one; None after
        `timeout` seconds. The pipeline gets it all the same."""
        check_type(type_)
        timeout = None if timeout is None else number_of_seconds(timeout, "the timeout of a wait")
        kept = self._listeners.kept(type_)
        if kept is not None:
            return kept
        self._tell("waiting_for_input", type_)
        entry = await self._listeners.listen(type_, timeout)
        if entry is None:
            self._tell("input_timeout", type_)
        return entry

    def _tell(self, event: str, type_: str) -> None:
        self.emit(Event(type=event, session_id=self.id, payload={"type": type_}, timestamp=self._host.now()))

    def emit(self, event: Event) -> None:
        """Add an event of one's own to the history and tell the handler. It is not stored with the session's."""
        self._host.note(event)
        self._after_sending()

    @property
    def event_handler(self) -> Callable[[Event], None]:
        """What is called with every event from now on; what does nothing, where there is none."""
        return self._host.handler or _nobody

    @event_handler.setter
    def event_handler(self, handler: Callable[[Event], None] | None) -> None:
        check_handler(handler)
        self._host.told_to(handler)

    async def pause(self) -> None:
        """Let running stages finish and start none until `resume`. Raises CommandRejected."""
        self._accepted(self._control("pause"))
        self._after_sending()

    async def resume(self) -> None:
        """Go on after `pause`. Raises CommandRejected."""
        self._accepted(self._control("resume"))
        self._after_sending()

    async def stop(self) -> None:
        """End the session now, with the result `{"result": "stopped"}`. Raises CommandRejected."""
        self._accepted(self._control("stop"))
        self._after_sending()

    async def skip(self, scope: str | None = None) -> None:
        """Skip the active stage, or the one in `scope`. Raises CommandRejected when it cannot be skipped."""
        if not (scope in (None, "") or is_name(scope)):
            raise CommandRejected([Problem(path="/scope", message=f"a scope is named by a text, not {shown(scope)}")])
        self._accepted(self._control("skip", scope))
        self._after_sending()

    async def retry(self) -> None:
        """Go on from where a failed session failed, when it is `run` again. Raises CommandRejected."""
        self._accepted(self._control("retry"))
        self._after_sending()

    def _accepted(self, problems: Sequence[Problem]) -> None:
        if problems:
            raise CommandRejected(problems, self._commands.last)

    # --- looking ---

    @property
    def status(self) -> str:
        """`running`, `waiting`, `paused`, `completed`, `failed` or `stopped`; empty before `run`."""
        return self._state.status

    @property
    def outcome(self) -> str:
        """How it ended: `completed`, `failed` or `stopped`; empty while it has not."""
        return self._state.outcome

    @property
    def result(self) -> dict[str, Any] | None:
        return copy(self._state.result)  # type: ignore[no-any-return]

    @property
    def artifact_paths(self) -> list[str]:
        """The paths of the artifacts it ended with."""
        return list(self._state.artifacts)

    @property
    def context(self) -> Context:
        """The context given at first, brought up to date with a copy of the session's."""
        state = self._state
        if self._shown != state.n:
            self._shown = state.n
            self._context.payload = DotDict(copy(state.root.frame.root))
        return self._context

    @property
    def events(self) -> list[bytes]:
        """The events as they are stored, one JSON object each."""
        return list(self._host.log)

    @property
    def event_history(self) -> list[Event]:
        """The events in StageFlow's shape."""
        return self._host.history()

    @property
    def input_history(self) -> list[dict[str, Any]]:
        """The inputs so far, oldest first."""
        return self._host.inputs() + self._commands.early_inputs()

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None:
        """The latest input, of one type or of any."""
        return latest(self.input_history, type_)

    @property
    def waiting_for(self) -> list[str]:
        """The types of input somebody waits for now."""
        return list(dict.fromkeys([*self._state.waiting_for(), *self._listeners]))

    @property
    def _waiting(self) -> dict[str, None]:
        """What StageFlow's tests look into to see whether somebody waits for a type."""
        return dict.fromkeys(self.waiting_for)

    # --- snapshots ---

    def snapshot(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON values."""
        return image_of(self, self._state, self._pinned, self._commands)

    @classmethod
    def from_snapshot(
        cls,
        snapshot: dict[str, Any],
        pipeline: Pipeline | CompiledPipeline | None = None,
        event_handler: Callable[[Event], None] | None = None,
    ) -> Session:
        """A session that goes on from a snapshot; a finished one stays finished. One of StageFlow's own has no more
        than a node and a context to go on from. Raises ValueError on another's, and when there is no pipeline."""
        if not isinstance(snapshot, dict):
            raise ValueError(f"a snapshot is the object that `snapshot` gave, not {snapshot!r:.80}")
        if pipeline is None and not snapshot.get("pipeline"):
            raise ValueError("the snapshot has no pipeline: give one")
        pipeline = Pipeline.from_dict(snapshot["pipeline"]) if pipeline is None else pipeline
        if "state" not in snapshot and snapshot.get("current_node_id"):
            pipeline = Pipeline.from_dict({**_definition(pipeline), "entry": snapshot["current_node_id"]})
        session = cls(snapshot.get("session_id", ""), pipeline, Context(payload=snapshot.get("context")), event_handler)
        try:
            state = restored(snapshot, session._pinned) or session._state
            history = [Event.from_dict(event) for event in snapshot.get("event_history", [])]
            inputs = copy(snapshot.get("input_history", []))
            session._commands.restore(snapshot)
            session._host.adopt(state, history, inputs[: len(inputs) - len(session._commands.early_inputs())])
        except (AttributeError, KeyError, TypeError) as problem:
            raise ValueError(f"this is no snapshot of a session: {problem}") from problem
        return session


def _nobody(event: Event) -> None:
    """The handler of a session that has none."""


def _definition(pipeline: Pipeline | CompiledPipeline) -> dict[str, Any]:
    return pipeline.raw_json if isinstance(pipeline, Pipeline) else pipeline.raw


__all__ = ["Pipeline", "Session", "SessionResult"]
