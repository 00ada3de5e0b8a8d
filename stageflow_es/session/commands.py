"""Commands: what may be asked of a session. Each brings its time and its origin with it; the core has no clock.

Three come from the bus (`Start`, `Input`, `Control`), one from a timer (`FireTimer`), the rest are reports of stage
runs. A report names its run; a report of a run that is over changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from stageflow_es.session.events import Origin

Action = Literal["pause", "resume", "stop", "skip", "retry"]

ACTIONS: tuple[Action, ...] = get_args(Action)

TOO_LARGE = "TooLarge"
"""The error type of what the bus cannot store for its size."""
UNRECORDABLE = "Unrecordable"
"""The error type of what cannot be recorded by a fault of ours."""


class RunId(msgspec.Struct, frozen=True, gc=False):
    """One attempt of one visit of one node: the scope, the `n` of the event that brought the cursor, the attempt."""

    scope: str
    visit: int
    attempt: int

    def cause(self) -> str:
        """How the events it brings about name it."""
        return f"{self.scope}#{self.visit}.{self.attempt}"

    __str__ = cause


class Command(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="command"):
    """`at`: RFC 3339, UTC, the time of the events it leads to; `by`: the engine that decides it."""

    at: str
    by: str = ""


# --- from the bus ----------------------------------------------------------------------------------------------


class BusCommand(Command, frozen=True, kw_only=True):
    """`seq`: its place in the command log; `id`: its idempotency key."""

    seq: int
    id: str | None = None


class Start(BusCommand, frozen=True, kw_only=True, tag="start"):
    """Begin a session with the pipeline its state was made with; `fork`: from where another one stood."""

    pipeline: str | None = None
    payload: dict[str, Any] = {}
    labels: dict[str, str] = {}
    paused: bool = False
    fork: Origin | None = None


class Input(BusCommand, frozen=True, kw_only=True, tag="input"):
    """Something for whoever waits for an input of this `type`, now or later."""

    type: str
    payload: Any = None


class Control(BusCommand, frozen=True, kw_only=True, tag="control"):
    """Steer the session. `scope` names what to skip where several stages are active."""

    action: Action
    scope: str | None = None
    reason: str | None = None


class Refuse(BusCommand, frozen=True, kw_only=True, tag="refuse"):
    """A bus message that is no command at all: its `problems` were found before the core was asked."""

    problems: tuple[Any, ...]
    body: dict[str, Any] = {}


# --- from the clock --------------------------------------------------------------------------------------------


class FireTimer(Command, frozen=True, kw_only=True, tag="fire_timer"):
    """A timer's time has come, or so it is said: only one that is open fires."""

    timer: str


class Advance(Command, frozen=True, kw_only=True, tag="advance"):
    """Nothing new: close the transitions that are due."""


class GiveUp(Command, frozen=True, kw_only=True, tag="give_up"):
    """What is due cannot be recorded: the session fails instead."""

    error_type: str
    message: str


# --- from stage runs -------------------------------------------------------------------------------------------


class RunReport(Command, frozen=True, kw_only=True):
    """What a stage run did or asks for. Of a `run` that is over it changes nothing."""

    run: RunId


class CompleteStage(RunReport, frozen=True, kw_only=True, tag="complete_stage"):
    """`writes`: context path -> value, in order."""

    writes: dict[str, Any] = {}


class FailStage(RunReport, frozen=True, kw_only=True, tag="fail_stage"):
    """`retries`, `delay` (seconds) and `backoff` are the class's; `timed_out` makes it a `stage_timeout`."""

    error_type: str
    message: str
    timed_out: bool = False
    retries: int = 0
    delay: float = 0
    backoff: float = 1


class InterruptStage(RunReport, frozen=True, kw_only=True, tag="interrupt_stage"):
    """The run was lost with its engine, after it had been `known` times before. Past `limit` times in one visit of
    the node the attempt fails."""

    known: int
    limit: int = 3


class EmitEvent(RunReport, frozen=True, kw_only=True, tag="emit_event"):
    """`key` matches the call in a repeated run: `<kind>:<name>:<occurrence>`."""

    key: str
    name: str
    payload: Any = {}


class RecordStep(RunReport, frozen=True, kw_only=True, tag="record_step"):
    """A step's function returned `value`. `key` as for `EmitEvent`."""

    key: str
    name: str
    value: Any = None


class OpenWait(RunReport, frozen=True, kw_only=True, tag="open_wait"):
    """Wait for an input of `type` that `schema` (JSON Schema) accepts, for `timeout` seconds at most. `alone`: the
    stage does nothing else meanwhile."""

    key: str
    type: str
    schema: Any = None
    timeout: float | None = None
    alone: bool = True


class StartSleep(RunReport, frozen=True, kw_only=True, tag="start_sleep"):
    """Sleep for `seconds`. `key` as for `EmitEvent`, `alone` as for `OpenWait`."""

    key: str
    seconds: float
    alone: bool = True


AnyCommand = (
    Start
    | Input
    | Control
    | Refuse
    | FireTimer
    | Advance
    | GiveUp
    | CompleteStage
    | FailStage
    | InterruptStage
    | EmitEvent
    | RecordStep
    | OpenWait
    | StartSleep
)
