"""decide(state, command): which event follows. Never changes the state; the same command twice gives nothing.

It gives one event at a time, and first the internal transitions that are due, so a shell applies a command by asking
again until the answer is empty:

    while events := decide(state, command, stages):
        for event in events:
            evolve(state, event)

A command to a session that does not exist leaves no event: the answer is `Refused`, with the reasons.
"""

from __future__ import annotations

from typing import Any, Literal, assert_never

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline import Catalog
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.control import decide_control
from stageflow_es.session.inputs import decide_input, decide_wait
from stageflow_es.session.runs import decide_report
from stageflow_es.session.state import State
from stageflow_es.session.transitions import next_transition, stamp

UNDECIDED = "this engine could not decide the command; the fault is not the sender's"
"""The problem of a command on which `decide` raised: a fault of ours that is recorded as a refusal."""


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A command to a session that does not exist."""

    problems: tuple[Problem, ...]

    def __bool__(self) -> Literal[False]:
        return False


def decide(state: State, command: cmd.Command, stages: Catalog) -> list[ev.Event] | Refused:
    """The next event, as a list of one or none, or why there is no session to decide for.

    `stages` is what the deciding engine knows of the stage classes.
    """
    if state.n == 0:
        return _begin(state, command)
    if state.stirring() and type(command) is not cmd.GiveUp:
        due = next_transition(state, command)
        assert due is not None
        return [due]
    if isinstance(command, cmd.BusCommand):
        if command.seq <= state.last_command or _repeated(state, command):
            return []
        return [_decide_bus(state, command, stages)]
    internal: Any = command
    event = None if state.outcome else _decide_internal(state, internal)
    return [] if event is None else [event]


def _begin(state: State, command: cmd.Command) -> list[ev.Event] | Refused:
    match command:
        case cmd.Start():
            return [
                ev.SessionStarted(
                    **stamp(state, command, command.seq),
                    pipeline=command.pipeline,
                    digest=state.pipeline.digest,
                    entry=state.pipeline.entry,
                    payload=command.payload,
                    labels=command.labels,
                    paused=command.paused,
                    command_id=command.id,
                    fork=command.fork or msgspec.UNSET,
                )
            ]
        case cmd.Refuse():
            return Refused(problems=tuple(command.problems))
        case _:
            return Refused(problems=(Problem(message=f"there is no session {state.session!r}"),))


def _repeated(state: State, command: cmd.BusCommand) -> bool:
    """Whether this is a command sent again: the session remembers its start's id and its last ids."""
    return command.id is not None and (command.id == state.start_id or command.id in state.recent)


def _decide_bus(state: State, command: cmd.BusCommand, stages: Catalog) -> ev.Event:
    match command:
        case cmd.Start():
            gone = "was archived, and its id is not used again" if state.outcome == "archived" else "exists already"
            return reject(state, command, f"session {state.session!r} {gone}")
        case cmd.Refuse():
            return _refuse(state, command)
        case cmd.Input(type="command"):
            return _control_input(state, command, stages)
        case cmd.Input():
            return decide_input(state, command)
        case cmd.Control():
            return decide_control(state, command, stages)
        case _:
            raise AssertionError(f"no bus command: {type(command).__name__}")


def _refuse(state: State, command: cmd.Refuse) -> ev.Event:
    return ev.CommandRejected(
        **stamp(state, command, command.seq),
        problems=list(command.problems),
        command=command.body,
        command_id=command.id,
    )


def reject(state: State, command: cmd.BusCommand, message: str) -> ev.Event:
    """A `command_rejected` with one problem."""
    return ev.CommandRejected(
        **stamp(state, command, command.seq),
        problems=[Problem(message=message)],
        command=command_body(command),
        command_id=command.id,
    )


def command_body(command: cmd.BusCommand) -> dict[str, Any]:
    """What a rejection repeats of the command: enough to recognize it, without a start's definition."""
    match command:
        case cmd.Start():
            return {"command": "start", "pipeline": command.pipeline}
        case cmd.Input():
            return {"command": "input", "type": command.type, "payload": command.payload}
        case cmd.Control():
            return {"command": "control", "action": command.action, "scope": command.scope}
        case cmd.Refuse():
            return command.body
        case _:
            raise AssertionError(f"no bus command: {type(command).__name__}")


def _control_input(state: State, command: cmd.Input, stages: Catalog) -> ev.Event:
    """An input of type `command` means the same as the control message."""
    payload = command.payload if isinstance(command.payload, dict) else {}
    name = payload.get("name")
    if name not in cmd.ACTIONS:
        actions = ", ".join(cmd.ACTIONS)
        return reject(state, command, f"unknown action {name!r}: the payload's `name` is one of {actions}")
    control = cmd.Control(
        at=command.at,
        by=command.by,
        seq=command.seq,
        id=command.id,
        action=name,
        scope=payload.get("scope") if isinstance(payload.get("scope"), str) else None,
        reason=payload.get("reason") if isinstance(payload.get("reason"), str) else None,
    )
    return decide_control(state, control, stages)


def _decide_internal(state: State, command: cmd.AnyCommand) -> ev.Event | None:
    match command:
        case (
            cmd.CompleteStage()
            | cmd.FailStage()
            | cmd.InterruptStage()
            | cmd.EmitEvent()
            | cmd.RecordStep()
            | cmd.StartSleep()
        ):
            return decide_report(state, command)
        case cmd.OpenWait():
            return decide_wait(state, command)
        case cmd.FireTimer():
            return _fire(state, command)
        case cmd.GiveUp():
            return _give_up(state, command) if state.active else None
        case cmd.Advance() | cmd.Start() | cmd.Input() | cmd.Control() | cmd.Refuse():
            return None
        case _:
            assert_never(command)


def _give_up(state: State, command: cmd.GiveUp) -> ev.Event:
    error = ev.ErrorInfo(type=command.error_type, message=command.message)
    return ev.SessionFailed(**stamp(state, command), error=error)


def _fire(state: State, command: cmd.FireTimer) -> ev.Event | None:
    """A fire is accepted by its id alone, never by comparing clocks."""
    timer = state.timers.get(command.timer)
    if timer is None:
        return None
    envelope = stamp(state, command, command.timer)
    if timer.kind != "wait":
        return ev.TimerFired(**envelope, timer=command.timer)
    run = state.runs[timer.scope]
    wait = run.records[timer.key].wait
    assert wait is not None
    return ev.InputTimeout(
        **envelope,
        scope=timer.scope,
        node=run.node,
        wait=wait,
        timer=command.timer,
        input_type=state.waits[wait].type,
    )
