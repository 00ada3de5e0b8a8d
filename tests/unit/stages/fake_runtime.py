"""What runs a stage in these tests: a context in memory, and notes of what the stage asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from stageflow_es.session.paths import MISSING, Frame, copy
from stageflow_es.stages import BaseStage, DotDict


class FakeContext:
    def __init__(self, payload: dict[str, Any]) -> None:
        self.frame = Frame(copy(payload))

    @property
    def payload(self) -> Any:
        return DotDict(copy(self.frame.root))

    def get(self, path: str, default: Any = None) -> Any:
        value = self.frame.get(path)
        return default if value is MISSING else copy(value)

    def set(self, path: str, value: Any) -> None:
        self.frame.write(path, copy(value))


class FakeSession:
    def __init__(self, payload: dict[str, Any]) -> None:
        self.id = "s1"
        self.context = FakeContext(payload)
        self.input_history: list[dict[str, Any]] = []

    def last_input(self, type_: str | None = None) -> dict[str, Any] | None:
        return None


class FakeRuntime:
    """Implements `StageRuntime`: `asked` has every call with what it was given, `outputs` what the stage set."""

    def __init__(self, payload: dict[str, Any], paths: dict[str, str], answer: dict[str, Any] | None = None) -> None:
        self.session = FakeSession(payload)
        self.missing = frozenset(
            name for name, path in paths.items() if self.session.context.frame.get(path) is MISSING
        )
        self.idempotency_key = "s1:root:n:1"
        self.attempt = 2
        self.asked: list[tuple[Any, ...]] = []
        self.outputs: dict[str, Any] = {}
        self._paths = paths
        self._answer = answer

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: self.session.context.get(path) for name, path in self._paths.items()}

    def emit(self, name: str, payload: Any) -> None:
        self.asked.append(("emit", name, payload))

    async def wait_input(self, type_: str, timeout: float | None, schema: Any) -> dict[str, Any] | None:
        self.asked.append(("wait_input", type_, timeout, schema))
        return self._answer

    async def sleep(self, seconds: float) -> None:
        self.asked.append(("sleep", seconds))

    async def step(self, name: str, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> Any:
        self.asked.append(("step", name))
        return await function(*args)

    def complete(self, outputs: dict[str, Any]) -> None:
        self.outputs.update(outputs)


def bound(
    stage: type[BaseStage],
    *,
    payload: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    arguments: dict[str, str] | None = None,
    answer: dict[str, Any] | None = None,
) -> tuple[BaseStage, FakeRuntime]:
    """A stage as an engine would bind it, and the runtime it was bound to."""
    paths = arguments or {}
    runtime = FakeRuntime(payload or {}, paths, answer)
    return stage.bind(stage_id="n", config=config or {}, arguments=paths, outputs={}, runtime=runtime), runtime
