"""From a recorded event back to what brought it about, and from that to the event that had to follow.

`derive` makes the command an event answers out of the event itself, with whatever came from outside (outputs,
payloads, errors, times, ids), and lets `decide` say what follows from it. An event that happens with no command is
what `Advance` gives. Whether the recorded event is the derived one is `verify`'s to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from stageflow_es.pipeline import Catalog, StageNode, StageSpec
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.decide import UNDECIDED, Refused, decide
from stageflow_es.session.fork import check_origin
from stageflow_es.session.state import State

LEAST_DELAY = 1e-9
"""A delay too short to show in a time of microseconds, and still one, in seconds."""

_NOTHING_SKIPABLE: Catalog = {}


def derive(state: State, event: ev.AnyEvent) -> ev.Event | None:
    """The event that had to be recorded where `event` was; None: nothing could happen there that is like it.

    Changes nothing. What `decide` raises on the strangest of values comes out.
    """
    match event:
        case ev.SessionFailed(error=ev.ErrorInfo(type=cmd.TOO_LARGE | cmd.UNRECORDABLE)):
            return _given_up(state, event)
        case ev.CommandRejected():
            return _rejection(state, event)
        case ev.StageSkipped():
            return _answer(state, _control(event, "skip", event.scope, event.reason), _skipable(state, event.scope))
        case ev.InputRejected(buffered=int()):
            return _refused_from_buffer(state, event)
        case ev.SessionArchived():
            return _archived(state, event)
        case _:
            command = _command(state, event)
            return None if command is None else _answer(state, command)


def _answer(state: State, command: cmd.Command, stages: Catalog = _NOTHING_SKIPABLE) -> ev.Event | None:
    answer = decide(state, command, stages)
    return None if isinstance(answer, Refused) or not answer else answer[0]


def _command(state: State, event: ev.AnyEvent) -> cmd.Command | None:
    """The command that leads to an event like this one; None: none can."""
    match event:
        case ev.SessionStarted():
            if event.fork:
                check_origin(event.fork, state.pipeline)
            return cmd.Start(
                **_sender(event),
                pipeline=event.pipeline,
                payload=event.payload,
                labels=event.labels,
                paused=event.paused,
                fork=event.fork or None,
            )
        case ev.SessionPaused():
            return _control(event, "pause", None, event.reason)
        case ev.SessionResumed():
            return _control(event, "resume", None, event.reason)
        case ev.SessionStopped():
            return _control(event, "stop", None, event.reason)
        case ev.SessionRetried():
            return _control(event, "retry", None, event.reason)
        case ev.SkipDenied():
            return _control(event, "skip", event.scope, None)
        case ev.UserInput() | ev.InputRejected():
            return cmd.Input(**_sender(event), type=event.input_type, payload=event.payload)
        case ev.TimerFired() | ev.InputTimeout():
            return cmd.FireTimer(at=event.at, by=event.by, timer=event.timer)
        case ev.NodeEvent():
            return _report(state, event) if type(event) in _REPORTED else _advance(event)
        case _:
            return _advance(event)


def _advance(event: ev.Event) -> cmd.Command:
    return cmd.Advance(at=event.at, by=event.by)


def _sender(event: Any) -> dict[str, Any]:
    """What a bus command's event tells of it."""
    seq = event.cause if isinstance(event.cause, int) else 0
    return {"at": event.at, "by": event.by, "seq": seq, "id": event.command_id}


def _control(event: ev.Event, action: cmd.Action, scope: str | None, reason: str | None) -> cmd.Control:
    return cmd.Control(**_sender(event), action=action, scope=scope, reason=reason)


# --- reports of stage runs -------------------------------------------------------------------------------------

_REPORTED = frozenset(
    {
        ev.StageCompleted,
        ev.StageFailed,
        ev.StageTimeout,
        ev.StageInterrupted,
        ev.StageEvent,
        ev.StepCompleted,
        ev.TimerSet,
        ev.WaitingForInput,
    }
)


def _report(state: State, event: Any) -> cmd.Command | None:
    """The report a stage's event came from, made for the run that is in progress in its scope."""
    run = state.runs.get(event.scope)
    if run is None:
        return None
    common = {"at": event.at, "by": event.by, "run": run.id(event.scope)}
    match event:
        case ev.StageCompleted():
            return cmd.CompleteStage(**common, writes=event.writes)
        case ev.StageFailed():
            return cmd.FailStage(**common, **_failure(event, run.failures))
        case ev.StageInterrupted():
            return cmd.InterruptStage(**common, known=run.interruptions, limit=run.interruptions + 1)
        case ev.StageEvent():
            return cmd.EmitEvent(**common, key=_key("emit", event), name=event.name, payload=event.payload)
        case ev.StepCompleted():
            return cmd.RecordStep(**common, key=_key("step", event), name=event.name, value=event.value)
        case ev.TimerSet():
            return cmd.StartSleep(**common, key=_key("sleep", event), seconds=event.seconds, alone=event.alone)
        case ev.WaitingForInput():
            return cmd.OpenWait(
                **common,
                key=_key("wait", event),
                type=event.input_type,
                schema=event.schema,
                timeout=event.timeout,
                alone=event.alone,
            )
    raise AssertionError(f"no report of a run: {type(event).__name__}")


def _failure(event: ev.StageFailed, failures: int) -> dict[str, Any]:
    """How a run failed, and a retry policy that gives what was recorded: the class's own is not in the history."""
    fields: dict[str, Any] = {
        "error_type": event.error.type,
        "message": event.error.message,
        "timed_out": isinstance(event, ev.StageTimeout),
    }
    if event.retry:
        fields["retries"] = failures + 1
        if event.timer is not None and event.due is not None:
            wait = datetime.fromisoformat(event.due) - datetime.fromisoformat(event.at)
            fields["delay"] = wait.total_seconds() or LEAST_DELAY
    return fields


def _key(kind: str, event: Any) -> str:
    """The key of a stage's durable call as it has to be: `<kind>:<name>:<occurrence>`."""
    name = {"wait": getattr(event, "input_type", ""), "sleep": ""}.get(kind)
    name = event.name if name is None else name
    occurrence = event.key.rpartition(":")[2]
    return f"{kind}:{name}:{int(occurrence) if occurrence.isdecimal() else 0}"


# --- commands that are not plain in their events ----------------------------------------------------------------


def _skipable(state: State, scope: str) -> Catalog:
    """A catalog in which the stage of a scope may be skipped: whether it could be was its engine's to know."""
    run = state.runs.get(scope)
    node = None if run is None else state.scopes[scope].pipeline.node(run.node)
    return {node.stage: StageSpec(stage_name=node.stage, skipable=True)} if isinstance(node, StageNode) else {}


def _rejection(state: State, event: ev.CommandRejected) -> ev.Event | None:
    """A rejection for the state's own reasons, or one that an engine had before it asked the core."""
    command = _rejected(event)
    if command is not None:
        derived = _answer(state, command)
        if isinstance(derived, ev.CommandRejected) and derived.problems == event.problems:
            return derived
        if not isinstance(command, cmd.Start) and [problem.message for problem in event.problems] != [UNDECIDED]:
            return derived
    refuse = cmd.Refuse(**_sender(event), problems=tuple(event.problems), body=event.command)
    return _answer(state, refuse) if event.problems else None


def _rejected(event: ev.CommandRejected) -> cmd.BusCommand | None:
    """The command a rejection repeats; None: it was none that could be read."""
    match event.command:
        case {"command": "start", "pipeline": str() | None as pipeline}:
            return cmd.Start(**_sender(event), pipeline=pipeline)
        case {"command": "input", "type": str() as type_, "payload": payload}:
            return cmd.Input(**_sender(event), type=type_, payload=payload)
        case {"command": "control", "action": action, "scope": str() | None as scope} if action in cmd.ACTIONS:
            return _control(event, action, scope, None)
        case _:
            return None


def _refused_from_buffer(state: State, event: ev.InputRejected) -> ev.Event | None:
    """A kept input that a later wait's schema did not take. The schema is not in the event: its words are taken over,
    and that it was this input's turn is derived."""
    scope = str(event.cause).rpartition("#")[0]
    run = state.runs.get(scope)
    if run is None or not event.problems:
        return None
    wait = cmd.OpenWait(at=event.at, by=event.by, run=run.id(scope), key="", type=event.input_type, schema=False)
    derived = _answer(state, wait)
    return (
        msgspec.structs.replace(derived, problems=event.problems) if isinstance(derived, ev.InputRejected) else derived
    )


def _given_up(state: State, event: ev.SessionFailed) -> ev.Event | None:
    """What was due could not be stored, for want of room or by a fault."""
    due = _answer(state, _advance(event))
    if due is None or due == event:
        return due
    error = event.error
    return _answer(state, cmd.GiveUp(at=event.at, by=event.by, error_type=error.type, message=error.message))


def _archived(state: State, event: ev.SessionArchived) -> ev.Event | None:
    """The stone over a history: it names the end of what it covers."""
    if not state.outcome or state.outcome == "archived":
        return None
    known: Mapping[str, Any] = {
        "session": state.session,
        "n": state.n + 1,
        "prev": state.head,
        "head": state.head,
        "count": state.n,
        "last_command": state.last_command,
        "start_id": state.start_id,
    }
    return msgspec.structs.replace(event, **known)
