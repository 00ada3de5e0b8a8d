"""What the events of a session as a whole change: its beginning, its outcomes, pauses, retries, refusals."""

from __future__ import annotations

import msgspec

from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.paths import Frame
from stageflow_es.session.state import Refusal, Run, Scope, State, Timer


def started(state: State, event: ev.SessionStarted) -> None:
    state.pipeline_name, state.digest = event.pipeline, event.digest
    state.labels, state.paused = event.labels, event.paused
    state.start_id, state.started_at = event.command_id, event.at
    frame = Frame(event.payload)
    root = Scope(path="", kind="root", key="", parent=None, pipeline=state.pipeline, frame=frame)
    state.scopes[""] = root
    cursor.enter(state, root, event.entry, event.n)


def paused(state: State, event: ev.SessionPaused) -> None:
    state.paused = True


def resumed(state: State, event: ev.SessionResumed) -> None:
    state.paused = False


def stopped(state: State, event: ev.SessionStopped) -> None:
    state.outcome, state.finished_at = "stopped", event.at
    state.result = {"result": "stopped"}
    _clear(state)


def terminated(state: State, event: ev.SessionTerminated) -> None:
    state.terminated = True
    state.due[""] = None


def completed(state: State, event: ev.SessionCompleted) -> None:
    state.outcome, state.finished_at = "completed", event.at
    state.result, state.artifacts = event.result, event.artifacts
    _clear(state)


def _clear(state: State) -> None:
    """After a final outcome only the root's context is left of the tree, to be read."""
    root = state.root
    for path in list(root.join.open if root.join else ()):
        cursor.drop(state, path)
    state.touch("")
    cursor.leave(state, root)
    root.node = root.join = None
    state.due.clear()
    state.settled.clear()
    state.inputs.clear()


def failed(state: State, event: ev.SessionFailed) -> None:
    state.outcome, state.error, state.finished_at = "failed", event.error, event.at


def retried(state: State, event: ev.SessionRetried) -> None:
    state.outcome, state.error, state.finished_at = "", None, None
    state.transitions = 0
    state.timers = {
        f"{event.n}-{timer}": msgspec.structs.replace(value, n=event.n) for timer, value in state.timers.items()
    }
    for timer, value in state.timers.items():
        rename_timer(state, value, timer)
    for scope in list(state.scopes.values()):
        if scope.failure is not None:
            reenter(state, scope, event.n)


def rename_timer(state: State, timer: Timer, name: str) -> None:
    """Have the call that set a timer know it by another name."""
    run = state.runs[timer.scope]
    if timer.kind == "retry":
        run.retry_timer = name
        return
    record = run.records[timer.key]
    record.timer = name
    if record.wait is not None:
        state.waits[record.wait] = msgspec.structs.replace(state.waits[record.wait], timer=name)


def reenter(state: State, scope: Scope, n: int) -> None:
    """Begin the failed node again; a stage keeps its steps and the arguments it had."""
    state.touch(scope.path)
    scope.failure = None
    state.due.pop(scope.path, None)
    failed = scope.run
    if failed is None:
        cursor.enter(state, scope, scope.node, n)
        return
    scope.visit = n
    scope.run = Run(
        node=failed.node, visit=n, arguments=failed.arguments, missing=failed.missing, records=cursor.steps_of(failed)
    )
    state.runs[scope.path] = scope.run


def command_rejected(state: State, event: ev.CommandRejected) -> None:
    assert isinstance(event.cause, int)
    state.refusal = Refusal(command_seq=event.cause, problems=tuple(event.problems), command=event.command)


def archived(state: State, event: ev.SessionArchived) -> None:
    state.outcome = "archived"
    state.last_command = max(event.last_command, state.last_command)
    state.start_id = event.start_id
    state.archived = event.summary
