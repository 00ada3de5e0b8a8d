"""`BaseStage`: what a user of StageFlow subclasses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, ClassVar, Self

from stageflow_es.errors import StageError
from stageflow_es.session.paths import MISSING, copy
from stageflow_es.stages.docstring import describe
from stageflow_es.stages.messages import Event, event_spec, input_spec
from stageflow_es.stages.payload_schema import to_json_schema, validate_schema
from stageflow_es.stages.runtime import StageRuntime


class BaseStage:
    """One unit of work. Subclass it, register it with `@register_stage`, write `async def run(self)`.

    A stage is invoked at least once and recorded exactly once: it may be run again after a crash or after it was
    parked. What it did through `step`, `sleep`, `wait_input` and `emit` is not done again once it is recorded.

    `timeout`: seconds of running, not of waiting; None: no bound. `retries`: further attempts after a failure, each
    after `retry_delay` seconds times `retry_backoff` for every failure before. `blocking`: run in a thread.
    """

    skipable: ClassVar[bool] = False
    stage_name: ClassVar[str] = "BaseStage"
    category: ClassVar[str | None] = None
    allowed_events: ClassVar[Sequence[Any]] = []
    allowed_inputs: ClassVar[Sequence[Any]] = []
    timeout: ClassVar[float | None] = 30
    retries: ClassVar[int] = 0
    retry_delay: ClassVar[float] = 0
    retry_backoff: ClassVar[float] = 1
    blocking: ClassVar[bool] = False

    _runtime: StageRuntime | None = None

    def __init__(
        self,
        stage_id: str,
        config: dict[str, Any] | None = None,
        arguments: dict[str, str] | None = None,
        outputs: dict[str, str] | None = None,
        session: Any = None,
    ) -> None:
        self.stage_id = stage_id
        self.config: dict[str, Any] = {} if config is None else config
        self.arguments_paths = {} if arguments is None else arguments
        self.outputs_paths = {} if outputs is None else outputs
        self.session = session

    @classmethod
    def bind(
        cls,
        *,
        stage_id: str,
        config: dict[str, Any],
        arguments: dict[str, str],
        outputs: dict[str, str],
        runtime: StageRuntime,
    ) -> Self:
        """A stage of this class for one run. It gets copies: it cannot change the definition."""
        stage = cls(
            stage_id=stage_id,
            config=copy(config) if config else {},
            arguments=arguments.copy(),
            outputs=outputs.copy(),
            session=runtime.session,
        )
        stage._runtime = runtime
        return stage

    def rebind(self, runtime: StageRuntime) -> None:
        """Go on with another attempt: what the stage keeps on itself it still has."""
        self._runtime = runtime
        self.session = runtime.session

    async def run(self) -> None:
        """Do the work; whatever it raises is a failed attempt."""
        raise NotImplementedError(f"{type(self).__name__} has no run()")

    # --- data ---

    def get_arguments(self) -> dict[str, Any]:
        """The mapped arguments by name, copied, as they were when the pipeline came here; null where missing."""
        if self._runtime is not None:
            return self._runtime.arguments
        return {name: copy(self.session.context.get(path)) for name, path in self.arguments_paths.items()}

    def has_argument(self, name: str) -> bool:
        """Whether an argument is mapped and its path was there, were it null."""
        if name not in self.arguments_paths:
            return False
        if self._runtime is not None:
            return name not in self._runtime.missing
        return self.session.context.get(self.arguments_paths[name], MISSING) is not MISSING

    def set_outputs(self, outputs: dict[str, Any]) -> None:
        """Give outputs by key. They land when the stage completes, all or none; keys the node does not map are
        dropped."""
        if self._runtime is not None:
            self._runtime.complete(outputs)
            return
        for key, value in outputs.items():
            if key in self.outputs_paths:
                self.session.context.set(self.outputs_paths[key], value)

    # --- durable calls ---

    def emit(self, event_type: str, payload: Any = None) -> None:
        """Record an event of the stage's own; no payload is an empty object. Raises ValueError when the class does not
        allow it."""
        payload = {} if payload is None else payload
        self._check_event(event_type, payload)
        if self._runtime is not None:
            self._runtime.emit(event_type, payload)
        else:
            event = Event(type=event_type, session_id=self.session.id, stage_id=self.stage_id, payload=payload)
            self.session.emit(event)

    async def wait_input(self, type_: str, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for an input: `{"type", "payload"}`, or None after `timeout` seconds. The stage's own `timeout` stands
        still meanwhile. Raises ValueError when the class does not allow the type."""
        schema = self._input_schema(type_)
        if self._runtime is not None:
            return await self._runtime.wait_input(type_, timeout, to_json_schema(schema))
        entry: dict[str, Any] | None = await self.session.wait_input(type_, timeout=timeout)
        if entry is not None and schema is not None:
            validate_schema(entry.get("payload", {}), schema, "Input payload")
        return entry

    async def sleep(self, seconds: float) -> None:
        """Sleep durably: the time goes on while no engine runs, and a repeated run sleeps only what is left."""
        await self._required("sleep").sleep(seconds)

    async def step(self, name: str, function: Callable[..., Awaitable[Any] | Any], *args: Any) -> Any:
        """The result of `function(*args)`, recorded: a repeated run or a retry gets it without calling again. For that
        reason the function may not make durable calls of its own, nor set outputs or the context: StageError."""

        async def call(*given: Any) -> Any:
            result = function(*given)
            return await result if isawaitable(result) else result

        return await self._required("step").step(name, call, args)

    @property
    def idempotency_key(self) -> str:
        """A key for calls to the outside: the same in every run and retry of this visit of the node."""
        return self._required("idempotency_key").idempotency_key

    @property
    def attempt(self) -> int:
        """1 for the first attempt, one more for every retry."""
        return 1 if self._runtime is None else self._runtime.attempt

    def _required(self, what: str) -> StageRuntime:
        if self._runtime is None:
            raise StageError(f"{what} needs a running session")
        return self._runtime

    # --- what the class declares ---

    def _check_event(self, event_type: str, payload: dict[str, Any]) -> None:
        specs = [event_spec(item) for item in self.allowed_events]
        if any(spec.type for spec in specs) and all(spec.type != event_type for spec in specs):
            raise ValueError(f"stage {self.stage_name!r} does not declare the event {event_type!r} (allowed_events)")
        schema = next((spec.payload_schema for spec in specs if spec.type == event_type), None)
        validate_schema(payload, schema, "Event payload")

    def _input_schema(self, type_: str) -> Any:
        specs = [input_spec(item) for item in self.allowed_inputs]
        if any(spec.type for spec in specs) and all(spec.type != type_ for spec in specs):
            raise ValueError(f"stage {self.stage_name!r} does not declare the input {type_!r} (allowed_inputs)")
        return next((spec.payload_schema for spec in specs if spec.type == type_), None)

    @classmethod
    def get_specs(cls) -> dict[str, Any]:
        """What the class and its docstring declare, as StageFlow's catalogue has it."""
        described = describe(cls.__doc__)
        return {
            "stage_name": cls.stage_name,
            "skipable": cls.skipable,
            "allowed_events": [dict(vars(event_spec(item))) for item in cls.allowed_events],
            "allowed_inputs": [dict(vars(input_spec(item))) for item in cls.allowed_inputs],
            "category": cls.category,
            "description": described.description,
            "arguments": described.arguments or [],
            "config": described.config or [],
            "outputs": described.outputs or [],
        }
