"""Events: what happened to a session, one node transition each. They are storage: fields are added, never renamed.

`Event` is the envelope every type shares. Types and their fields are StageFlow's where it has them. `encode` gives
the bytes that are stored and hashed; `decode` reads bytes of this and every earlier release.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stageflow_es.errors import Problem

Cause = int | str | None
"""What brought an event about: a command's sequence, a timer's id, a stage run's id; None: it was due."""


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A failure as data: what a fallback reads under `$error`, and what a failed session reports."""

    type: str
    message: str
    node: str | None = None
    scope: str = ""
    attempt: int | None = None


class BranchFailure(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A branch or item that failed under a join that went on without it."""

    branch: str
    error: ErrorInfo


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="type"):
    """The envelope: whose event, its number within the session, when, which engine, why, and the hash before it."""

    session: str
    n: int
    at: str
    by: str = ""
    cause: Cause = None
    prev: str = ""


class NodeEvent(Event, frozen=True, kw_only=True):
    """An event of one node in one scope (`""` is the root)."""

    scope: str = ""
    node: str


# --- the session -----------------------------------------------------------------------------------------------


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a fork began from: event `n` of `session`, the hash of that event, and the state as of it, which is the
    image (see `snapshot`) of that session's first `n` events folded."""

    session: str
    n: int
    head: str
    state: dict[str, Any]


class SessionStarted(Event, frozen=True, kw_only=True, tag="session_started"):
    """The first event. `digest` pins the definition; `entry` is where the cursor is. A fork has its `fork` instead:
    the cursors are where they were there, and `payload` is what was changed in the context."""

    pipeline: str | None = None
    digest: str
    entry: str
    payload: dict[str, Any] = {}
    labels: dict[str, str] = {}
    paused: bool = False
    command_id: str | None = None
    fork: Origin | msgspec.UnsetType = msgspec.UNSET


class SessionPaused(Event, frozen=True, kw_only=True, tag="session_paused"):
    reason: str | None = None
    command_id: str | None = None


class SessionResumed(Event, frozen=True, kw_only=True, tag="session_resumed"):
    reason: str | None = None
    command_id: str | None = None


class SessionStopped(Event, frozen=True, kw_only=True, tag="session_stopped"):
    reason: str | None = None
    command_id: str | None = None


class SessionTerminated(NodeEvent, frozen=True, kw_only=True, tag="session_terminated"):
    """The root reached a terminal."""

    result: dict[str, Any] | None = None
    artifacts: dict[str, Any] = {}


class SessionCompleted(Event, frozen=True, kw_only=True, tag="session_completed"):
    result: dict[str, Any] | None = None
    artifacts: dict[str, Any] = {}


class SessionFailed(Event, frozen=True, kw_only=True, tag="session_failed"):
    """A failure nothing absorbed. The scope tree stays as it was, for `retry`."""

    error: ErrorInfo


class SessionRetried(Event, frozen=True, kw_only=True, tag="session_retried"):
    reason: str | None = None
    command_id: str | None = None


class CommandRejected(Event, frozen=True, kw_only=True, tag="command_rejected"):
    """A command to this session was refused; `command` is what it was."""

    problems: list[Problem]
    command: dict[str, Any] = {}
    command_id: str | None = None


class SessionArchived(Event, frozen=True, kw_only=True, tag="session_archived"):
    """All that is left of an archived session: the id is never born again."""

    head: str
    count: int
    last_command: int
    export_digest: str
    start_id: str | None = None
    summary: dict[str, Any] = {}
    command_id: str | None = None


# --- stages ----------------------------------------------------------------------------------------------------


class StageCompleted(NodeEvent, frozen=True, kw_only=True, tag="stage_completed"):
    """A run succeeded. `writes` is what it changed in the context, path by path, in order."""

    stage: str = ""
    attempt: int = 1
    writes: dict[str, Any] = {}
    next: str | None = None


class StageFailed(NodeEvent, frozen=True, kw_only=True, tag="stage_failed"):
    """One failed attempt. `retry` says another follows, at `due` if that is given; else the cursor goes to `next`
    (the fallback), or with none the scope fails."""

    stage: str = ""
    attempt: int = 1
    error: ErrorInfo
    retry: bool = False
    timer: str | None = None
    due: str | None = None
    next: str | None = None


class StageTimeout(StageFailed, frozen=True, kw_only=True, tag="stage_timeout"):
    """A failed attempt that ran longer than its class's `timeout`."""


class StageInterrupted(NodeEvent, frozen=True, kw_only=True, tag="stage_interrupted"):
    """A run was lost with its engine and is about to be repeated; `count` so far in this visit of the node."""

    attempt: int = 1
    count: int = 1


class StageSkipped(NodeEvent, frozen=True, kw_only=True, tag="stage_skipped"):
    reason: str | None = None
    next: str | None = None
    command_id: str | None = None


class SkipDenied(Event, frozen=True, kw_only=True, tag="skip_denied"):
    problems: list[Problem]
    scope: str | None = None
    node: str | None = None
    command_id: str | None = None


class StageEvent(NodeEvent, frozen=True, kw_only=True, tag="stage_event"):
    """What a stage emitted; `key` matches it to the same call of a repeated run."""

    key: str
    name: str
    payload: Any = {}


class StepCompleted(NodeEvent, frozen=True, kw_only=True, tag="step_completed"):
    """A step's recorded result."""

    key: str
    name: str
    value: Any = None


class TimerSet(NodeEvent, frozen=True, kw_only=True, tag="timer_set"):
    """A stage sleeps until `due`; `alone`: it does nothing else meanwhile."""

    key: str
    timer: str
    due: str
    seconds: float = 0
    alone: bool = True


class TimerFired(Event, frozen=True, kw_only=True, tag="timer_fired"):
    """A sleep or a retry's delay is over."""

    timer: str


# --- inputs ----------------------------------------------------------------------------------------------------


class WaitingForInput(NodeEvent, frozen=True, kw_only=True, tag="waiting_for_input"):
    """A stage waits. `took` is the `n` of the buffered input that answered at once; `timer` bounds the wait;
    `alone`: the stage does nothing else meanwhile."""

    key: str
    wait: str
    input_type: str
    schema: Any = None
    took: int | None = None
    timer: str | None = None
    due: str | None = None
    timeout: float | None = None
    alone: bool = True


class UserInput(Event, frozen=True, kw_only=True, tag="user_input"):
    """An accepted input; `waits` are those it went to, none: it is buffered."""

    input_type: str
    payload: Any = None
    waits: list[str] = []
    command_id: str | None = None


class InputRejected(Event, frozen=True, kw_only=True, tag="input_rejected"):
    """An input no open wait's schema takes; `buffered` is its `n` when it had been kept for a later wait."""

    input_type: str
    problems: list[Problem]
    payload: Any = None
    command_seq: int = 0
    buffered: int | None = None
    command_id: str | None = None


class InputTimeout(NodeEvent, frozen=True, kw_only=True, tag="input_timeout"):
    wait: str
    timer: str
    input_type: str


# --- the other nodes -------------------------------------------------------------------------------------------


class ConditionEvaluated(NodeEvent, frozen=True, kw_only=True, tag="condition_evaluated"):
    """`branch` is the index of the condition that was truthy, None: else. An `error` fails the scope."""

    branch: int | None = None
    next: str | None = None
    error: ErrorInfo | None = None


class ParallelStarted(NodeEvent, frozen=True, kw_only=True, tag="parallel_started"):
    children: list[str]


class BranchCompleted(NodeEvent, frozen=True, kw_only=True, tag="branch_completed"):
    """One branch ended. `scope` is the branch's; `node` is the parallel node."""

    branch: str
    error: ErrorInfo | None = None


class ParallelCompleted(NodeEvent, frozen=True, kw_only=True, tag="parallel_completed"):
    failures: list[BranchFailure] = []
    cancelled: list[str] = []
    next: str | None = None
    error: ErrorInfo | None = None


class MapStarted(NodeEvent, frozen=True, kw_only=True, tag="map_started"):
    count: int


class IterationCompleted(NodeEvent, frozen=True, kw_only=True, tag="iteration_completed"):
    """One item is done. `scope` is the iteration's; `node` is the map node; `outputs` is by `output_map`'s keys."""

    index: int
    outputs: dict[str, Any] = {}
    error: ErrorInfo | None = None


class MapCompleted(NodeEvent, frozen=True, kw_only=True, tag="map_completed"):
    """All items are done. The lists are not repeated here: they are the iterations' outputs in item order."""

    failures: list[BranchFailure] = []
    next: str | None = None
    error: ErrorInfo | None = None


class SubpipelineStarted(NodeEvent, frozen=True, kw_only=True, tag="subpipeline_started"):
    subpipeline_id: str


class SubpipelineCompleted(NodeEvent, frozen=True, kw_only=True, tag="subpipeline_completed"):
    subpipeline_id: str
    result: dict[str, Any] | None = None
    artifacts: dict[str, Any] = {}
    next: str | None = None
    error: ErrorInfo | None = None


AnyEvent = (
    SessionStarted
    | SessionPaused
    | SessionResumed
    | SessionStopped
    | SessionTerminated
    | SessionCompleted
    | SessionFailed
    | SessionRetried
    | CommandRejected
    | SessionArchived
    | StageCompleted
    | StageFailed
    | StageTimeout
    | StageInterrupted
    | StageSkipped
    | SkipDenied
    | StageEvent
    | StepCompleted
    | TimerSet
    | TimerFired
    | WaitingForInput
    | UserInput
    | InputRejected
    | InputTimeout
    | ConditionEvaluated
    | ParallelStarted
    | BranchCompleted
    | ParallelCompleted
    | MapStarted
    | IterationCompleted
    | MapCompleted
    | SubpipelineStarted
    | SubpipelineCompleted
)

encode: Callable[[Event], bytes] = msgspec.json.Encoder().encode
"""The stored bytes of an event."""

decode: Callable[[bytes | memoryview], AnyEvent] = msgspec.json.Decoder(AnyEvent).decode
"""An event from its stored bytes. Raises `msgspec.MsgspecError` on bytes that are not an event."""
