"""The session as a stage sees it: `self.session`, with the context of its own scope."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.engine.steps import Steps
from stageflow_es.errors import StageError
from stageflow_es.pipeline.values import encode, is_text
from stageflow_es.session.cursor import look
from stageflow_es.session.paths import MISSING, Frame, copy, parse, read
from stageflow_es.session.state import Scope, State
from stageflow_es.stageflow import Pipeline
from stageflow_es.stages import DotDict, Event

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor
    from stageflow_es.stages.runtime import StageRuntime

_WORD = 2**63
"""Below it a whole number is one to every reader of JSON that knows whole numbers."""


def plain(value: Any, what: str, name: str | None = None) -> Any:
    """A value as JSON has it, detached from the stage's own. Raises StageError when it is not JSON: `what`, by which
    name."""
    kind = type(value)
    if value is None or kind is bool or (kind is str and value.isascii()) or (kind is int and abs(value) < _WORD):
        return value  # it would come back as it is
    try:
        return msgspec.json.decode(encode(value))
    except ValueError as error:
        what = what if name is None else f"{what} {name!r}"
        raise StageError(f"{what} is not JSON: {error}") from None


class StageContext(msgspec.Struct, eq=False):
    """The scope's context by dotted path, with the stage's own unfinished writes on top. Copies in and out."""

    _actor: Actor
    _known: Scope
    writes: dict[str, Any] = {}
    steps: Steps | None = None
    """None before the stage's first."""

    def __repr__(self) -> str:
        return f"<context of {self._known.path or 'the session'}>"

    @property
    def payload(self) -> Any:
        """The whole context, copied, with attribute access."""
        return DotDict(copy(self._frame().root))

    def get(self, path: str, default: Any = None) -> Any:
        if self.writes and not path.startswith("$"):
            value = read(self._frame().root, parse(path))
        else:
            value = look(self._scope(), path)
        return default if value is MISSING else copy(value)

    def set(self, path: str, value: Any) -> None:
        """Write when the stage completes. Raises PathError at once when the path cannot be written."""
        if not is_text(path):
            raise StageError(f"{path!a} is no context path")
        if self.steps is not None:
            self.steps.refuse(f"set {path!r}")
        value = plain(value, "the value for", path)
        if "." in path or path == "payload":
            self._frame().fork().write(path, value)
        self.writes.pop(path, None)
        self.writes[path] = value

    def to_dict(self) -> dict[str, Any]:
        root: dict[str, Any] = copy(self._frame().root)
        return root

    def _scope(self) -> Scope:
        """The scope as the actor has it now; as it was last known while the actor reads its log again."""
        state = self._actor.state
        scope = None if state is None else state.scopes.get(self._known.path)
        if scope is not None and scope.visit == self._known.visit:
            self._known = scope
        return self._known

    def _frame(self) -> Frame:
        frame = self._scope().frame
        if not self.writes:
            return frame
        frame = frame.fork()
        for path, value in self.writes.items():
            frame.write(path, value)
        return frame


def latest(inputs: Sequence[dict[str, Any]], type_: str | None) -> dict[str, Any] | None:
    """The latest input of a type, or of any."""
    return next((entry for entry in reversed(inputs) if type_ is None or entry["type"] == type_), None)


class SessionView(msgspec.Struct, eq=False):
    """`self.session` of a stage."""

    id: str
    context: StageContext
    _actor: Actor
    _state: State
    _scope: Scope
    _run: StageRuntime | None = None

    def __repr__(self) -> str:
        return f"<session {self.id}>"

    def attach(self, run: StageRuntime) -> None:
        """The run begins."""
        self._run = run

    def release(self) -> None:
        """The run is over: nothing can be done through this any more."""
        self._run = None

    def _calls(self) -> StageRuntime:
        if self._run is None:
            raise asyncio.CancelledError
        return self._run

    def emit(self, event: Event) -> None:
        """Record an event of the stage's own, as the stage's `emit` does: its type and payload."""
        self._calls().emit(event.type, event.payload)

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for an input of any type, as the stage's `wait_input` does for the types it declares."""
        return await self._calls().wait_input(type_, timeout, None)

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline the stage's node is in."""
        return Pipeline.of(self._scope.pipeline)

    @property
    def input_history(self) -> Sequence[dict[str, Any]]:
        """The session's last inputs, oldest first."""
        state = self._actor.state or self._state
        return [copy(entry) for entry in state.input_history]

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None:
        """The latest input, of one type or of any."""
        return latest(self.input_history, type_)
