"""What a running stage may ask of whatever runs it. The engine and the in-process session implement it; a test may.

`BaseStage` turns the user's calls (`emit`, `wait_input`, `sleep`, `step`, `self.session.context`) into these.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from stageflow_es.stages.messages import Event


class ContextView(Protocol):
    """The context of the run's scope by dotted path. Values are copied in and out."""

    @property
    def payload(self) -> Any: ...

    def get(self, path: str, default: Any = None) -> Any: ...

    def set(self, path: str, value: Any) -> None:
        """A write that lands with the stage's outputs, when the stage completes; the stage itself reads it at once."""


class StageSession(Protocol):
    """The session as a stage sees it: `self.session`."""

    @property
    def id(self) -> str: ...

    @property
    def context(self) -> ContextView: ...

    @property
    def pipeline(self) -> Any: ...

    def emit(self, event: Event) -> None: ...

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None: ...

    @property
    def input_history(self) -> Sequence[dict[str, Any]]: ...

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None: ...


class StageRuntime(Protocol):
    """One run of one stage."""

    @property
    def session(self) -> StageSession: ...

    @property
    def arguments(self) -> dict[str, Any]:
        """The mapped arguments as they were when the cursor came to the node, already copied; missing ones are None."""

    @property
    def missing(self) -> frozenset[str]:
        """Names of the arguments whose context path was missing."""

    @property
    def idempotency_key(self) -> str: ...

    @property
    def attempt(self) -> int: ...

    def emit(self, name: str, payload: Any) -> None:
        """Record an event. Recorded once, also when the run is repeated; durable before the stage completes."""

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        """`{"type", "payload"}` of the input, None after `timeout` seconds."""

    async def sleep(self, seconds: float) -> None: ...

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        """The result of `await function(*args)`: recorded, it is not done again."""

    def complete(self, outputs: dict[str, Any]) -> None:
        """Take `set_outputs` values (by output key); the last value of a key counts."""
