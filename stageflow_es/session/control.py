"""Deciding control commands: pause, resume, stop, skip, retry."""

from __future__ import annotations

from typing import Any, assert_never

from stageflow_es.errors import Problem
from stageflow_es.pipeline import Catalog, StageNode
from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.commands import Control
from stageflow_es.session.state import State
from stageflow_es.session.transitions import stamp

ARCHIVED = "session {!r} is archived: its history is in its export, and it takes no commands"


def decide_control(state: State, command: Control, stages: Catalog) -> ev.Event:
    """The event of a control command to an existing session: what it does, or why it is refused."""
    envelope = {**stamp(state, command, command.seq), "command_id": command.id}
    problem = _objection(state, command)
    if problem is not None:
        body = {"command": "control", "action": command.action, "scope": command.scope}
        return ev.CommandRejected(**envelope, problems=[problem], command=body)
    match command.action:
        case "pause":
            return ev.SessionPaused(**envelope, reason=command.reason)
        case "resume":
            return ev.SessionResumed(**envelope, reason=command.reason)
        case "stop":
            return ev.SessionStopped(**envelope, reason=command.reason)
        case "retry":
            return ev.SessionRetried(**envelope, reason=command.reason)
        case "skip":
            return _skip(state, command, stages, envelope)
        case _:
            assert_never(command.action)


def _objection(state: State, command: Control) -> Problem | None:
    """Why the state does not allow the action, or None. Skip has objections of its own."""
    if command.scope is not None and command.action != "skip":
        return Problem(path="/scope", message="only `skip` takes a scope")
    if state.outcome == "archived":
        return Problem(message=ARCHIVED.format(state.session))
    if command.action == "retry":
        return None if state.outcome == "failed" else Problem(message="only a failed session can be retried")
    if state.outcome:
        return Problem(message=f"session {state.session!r} has ended ({state.outcome})")
    if command.action == "pause" and state.paused:
        return Problem(message="the session is paused already")
    if command.action == "resume" and not state.paused:
        return Problem(message="the session is not paused")
    return None


def _skip(state: State, command: Control, stages: Catalog, envelope: dict[str, Any]) -> ev.Event:
    scope, problem = _active_stage(state, command.scope)
    if scope is None:
        return ev.SkipDenied(**envelope, problems=[Problem(message=problem)], scope=command.scope)
    node = cursor.node_of(state.scopes[scope])
    assert isinstance(node, StageNode)
    spec = stages.get(node.stage)
    if spec is None or not spec.skipable:
        problem = f"stage {node.stage!r} of node {node.id!r} is not skipable"
        return ev.SkipDenied(**envelope, problems=[Problem(message=problem)], scope=scope, node=node.id)
    return ev.StageSkipped(**envelope, scope=scope, node=node.id, reason=command.reason, next=node.next)


def _active_stage(state: State, wanted: str | None) -> tuple[str | None, str]:
    """The scope of the stage to skip, or None and why there is none."""
    if wanted is not None:
        found = wanted if wanted in state.runs else None
        return found, f"no stage is active in scope {wanted!r}"
    active = list(state.runs)
    if len(active) == 1:
        return active[0], ""
    if not active:
        return None, "no stage is active"
    some = ", ".join(repr(path) for path in active[:5])
    return None, f"{len(active)} stages are active, name one by its `scope`: {some}"
