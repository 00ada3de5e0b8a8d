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

import msgspec

from stageflow_es.engine.actor import Actor
from stageflow_es.engine.clock import SystemClock, rfc3339
from stageflow_es.engine.inbox import BusItem
from stageflow_es.engine.local_host import LocalHost
from stageflow_es.engine.stage_view import latest
from stageflow_es.errors import CommandRejected, DefinitionError, Problem, SessionFailed
from stageflow_es.pipeline import Pipeline as CompiledPipeline
from stageflow_es.pipeline import StageNode
from stageflow_es.session import commands as cmd
from stageflow_es.session import snapshot as images
from stageflow_es.session.paths import copy
from stageflow_es.session.state import State
from stageflow_es.stages import Context, Event, catalog, get_stages


class Pipeline(CompiledPipeline):
    """A pipeline whose stages are those registered in this process."""

    @classmethod
    def from_dict(cls, data: Any, *, stages: Any = None) -> Pipeline:
        """Validate a definition against the registered stages. Raises DefinitionError with every problem."""
        return super().from_dict(data, stages=catalog() if stages is None else stages)


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
    """One session in this process. `event_handler` is called with every event as it happens."""

    def __init__(
        self,
        id: str,
        pipeline: CompiledPipeline,
        context: Context | None = None,
        event_handler: Callable[[Event], None] | None = None,
    ) -> None:
        _check_stages(pipeline)
        self.id = id
        self.pipeline = pipeline
        self._context = context or Context()
        self._host = LocalHost(event_handler)
        self._actor = Actor(id, self._host)
        self._host.state = State(id)
        self._started = False
        self._commands = 0
        self._early: list[tuple[str, Any]] = []
        self._listeners: dict[str, list[asyncio.Future[dict[str, Any]]]] = {}

    # --- running ---

    async def run(self) -> SessionResult:
        """Run to the end and return how it ended. Raises SessionFailed when the session fails."""
        if not self._started:
            await self._start()
        self._actor.poke()
        await self._host.ended.wait()
        state = self._state
        if state.outcome == "failed":
            raise SessionFailed(self.id, state.error)
        return SessionResult(dict(state.artifacts), state.result, self.event_history, self.context)

    async def _start(self) -> None:
        self._started = True
        await self._send(cmd.Start, pipeline=None, payload=self._context.to_dict(), item_pipeline=self.pipeline)
        early, self._early = self._early, []
        for type_, payload in early:
            await self._send(cmd.Input, type=type_, payload=payload)

    async def _send(
        self, kind: type[cmd.BusCommand], *, item_pipeline: CompiledPipeline | None = None, **fields: Any
    ) -> None:
        self._commands += 1
        command: Any = kind(at=rfc3339(SystemClock().now()), by="local", seq=self._commands, **fields)
        done = asyncio.get_running_loop().create_future()
        self._host.refused.pop(self._commands, None)
        self._actor.post(BusItem(command, command, lambda: done.set_result(None), item_pipeline))
        await done
        problems = self._host.refused.pop(command.seq, None)
        if problems:
            raise CommandRejected(problems, command.seq)

    @property
    def _state(self) -> State:
        return self._actor.state or self._host.state

    # --- inputs and control ---

    async def input(self, type_: str, payload: Any = None) -> dict[str, Any]:
        """Send an input. Before `run` it is kept for it. Raises CommandRejected when the session refuses it."""
        entry = {"type": type_, "payload": payload}
        for waiting in self._listeners.pop(type_, []):
            if not waiting.done():
                waiting.set_result(entry)
        if self._started:
            await self._send(cmd.Input, type=type_, payload=payload)
        else:
            self._early.append((type_, payload))
        return entry

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait, beside the pipeline, for the next input of a type; None after `timeout` seconds."""
        waiting: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._listeners.setdefault(type_, []).append(waiting)
        try:
            return await asyncio.wait_for(waiting, timeout)
        except TimeoutError:
            return None

    async def pause(self) -> None:
        await self._send(cmd.Control, action="pause")

    async def resume(self) -> None:
        await self._send(cmd.Control, action="resume")

    async def stop(self) -> None:
        await self._send(cmd.Control, action="stop")

    async def skip(self, scope: str | None = None) -> None:
        await self._send(cmd.Control, action="skip", scope=scope)

    async def retry(self) -> None:
        """Go on from where a failed session failed; `run` again for its end."""
        self._host.ended.clear()
        await self._send(cmd.Control, action="retry")

    # --- looking ---

    @property
    def status(self) -> str:
        return self._state.status

    @property
    def result(self) -> dict[str, Any] | None:
        return self._state.result

    @property
    def context(self) -> Context:
        """The context as it is now, copied."""
        state = self._state
        return Context(payload=copy(state.root.frame.root)) if state.scopes else self._context

    @property
    def events(self) -> list[bytes]:
        """The events as they are stored, one JSON object each."""
        return list(self._host.log)

    @property
    def event_history(self) -> list[Event]:
        return self._host.history()

    @property
    def input_history(self) -> Sequence[dict[str, Any]]:
        return [copy(entry) for entry in self._state.input_history]

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None:
        return latest(self.input_history, type_)

    @property
    def _waiting(self) -> dict[str, None]:
        """Input types somebody waits for now; StageFlow's tests poll this name."""
        return dict.fromkeys([*self._state.waiting_for(), *self._listeners])

    # --- snapshots ---

    def snapshot(self) -> dict[str, Any]:
        """Everything needed to go on later, as JSON values."""
        state = self._state
        return {
            "session_id": self.id,
            "status": state.status,
            "current_node_id": state.root.node if state.scopes else None,
            "result": state.result,
            "artifacts": state.artifacts,
            "context": self.context.to_dict(),
            "event_history": [event.to_dict() for event in self.event_history],
            "input_history": list(self.input_history),
            "stopped": state.outcome == "stopped",
            "paused": state.paused,
            "pipeline": self.pipeline.raw,
            "state": msgspec.json.decode(images.dump(state)) if state.n else None,
            "commands": self._commands,
            "early_inputs": [{"type": type_, "payload": payload} for type_, payload in self._early],
        }

    @classmethod
    def from_snapshot(
        cls,
        snapshot: dict[str, Any],
        pipeline: CompiledPipeline | None = None,
        event_handler: Callable[[Event], None] | None = None,
    ) -> Session:
        """A session that goes on from a snapshot; a finished one stays finished. Raises ValueError on another's."""
        pinned = pipeline or Pipeline.from_dict(snapshot["pipeline"])
        session = cls(snapshot["session_id"], pinned, Context(payload=snapshot.get("context")), event_handler)
        session._host.earlier = [Event.from_dict(event) for event in snapshot.get("event_history", [])]
        session._early = [(item["type"], item["payload"]) for item in snapshot.get("early_inputs", [])]
        image = snapshot.get("state")
        if image is not None:
            state = images.load(msgspec.json.encode(image), pinned)
            if state.digest != pinned.digest:
                raise DefinitionError([Problem(message="the snapshot belongs to another definition")])
            session._commands = snapshot.get("commands", state.last_command)
            session._started = True
            session._host.adopt(state)
        return session


def _check_stages(pipeline: CompiledPipeline) -> None:
    """Raise DefinitionError for the stages of a pipeline that are not registered here: it may have been made without
    looking."""
    known = get_stages()
    unknown = [
        Problem(message=f"stage {node.stage!r} of node {node.id!r} is not registered")
        for node in pipeline.nodes.values()
        if isinstance(node, StageNode) and node.stage not in known
    ]
    if unknown:
        raise DefinitionError(unknown)


__all__ = ["Pipeline", "Session", "SessionResult"]
