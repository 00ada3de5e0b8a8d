"""evolve(state, event): what each event changes. Never fails on an event that `decide` made; knows no time but `at`.

`TRANSITIONS` is the fold as a table, one function for each event type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.paths import Frame
from stageflow_es.session.state import (
    BufferedInput,
    Join,
    Record,
    Refusal,
    Run,
    Scope,
    State,
    Timer,
    Wait,
)

EVOLVE_VERSION = 1
"""Raised whenever a fold of the same events gives another state, so that old snapshots are not used."""


def evolve(state: State, event: ev.Event) -> None:
    """Fold one event into the state."""
    state.n = event.n
    state.updated_at = event.at
    state.refusal = None
    if isinstance(event.cause, int):
        _remember_command(state, event)
    TRANSITIONS[type(event)](state, event)


def _remember_command(state: State, event: Any) -> None:
    state.last_command = event.cause
    if event.command_id is not None:
        state.recent.append(event.command_id)


# --- the session -----------------------------------------------------------------------------------------------


def _started(state: State, event: ev.SessionStarted) -> None:
    state.pipeline_name, state.digest = event.pipeline, event.digest
    state.labels, state.paused = event.labels, event.paused
    state.start_id, state.started_at = event.command_id, event.at
    frame = Frame(event.payload)
    root = Scope(path="", kind="root", key="", parent=None, pipeline=state.pipeline, frame=frame)
    state.scopes[""] = root
    cursor.enter(state, root, event.entry, event.n)


def _paused(state: State, event: ev.SessionPaused) -> None:
    state.paused = True


def _resumed(state: State, event: ev.SessionResumed) -> None:
    state.paused = False


def _stopped(state: State, event: ev.SessionStopped) -> None:
    state.outcome, state.finished_at = "stopped", event.at
    state.result = {"result": "stopped"}
    _clear(state)


def _terminated(state: State, event: ev.SessionTerminated) -> None:
    state.terminated = True
    state.due[""] = None


def _completed(state: State, event: ev.SessionCompleted) -> None:
    state.outcome, state.finished_at = "completed", event.at
    state.result, state.artifacts = event.result, event.artifacts
    _clear(state)


def _clear(state: State) -> None:
    """After a final outcome only the root's context is left of the tree, to be read."""
    root = state.root
    for path in list(root.join.open if root.join else ()):
        cursor.drop(state, path)
    cursor.leave(state, root)
    root.node = root.join = None
    state.due.clear()
    state.settled.clear()
    state.inputs.clear()


def _failed(state: State, event: ev.SessionFailed) -> None:
    state.outcome, state.error, state.finished_at = "failed", event.error, event.at


def _retried(state: State, event: ev.SessionRetried) -> None:
    state.outcome, state.error, state.finished_at = "", None, None
    state.transitions = 0
    state.timers = {
        f"{event.n}-{timer}": msgspec.structs.replace(value, n=event.n) for timer, value in state.timers.items()
    }
    for timer, value in state.timers.items():
        _rename_timer(state, value, timer)
    for scope in list(state.scopes.values()):
        if scope.failure is not None:
            _reenter(state, scope, event.n)


def _rename_timer(state: State, timer: Timer, name: str) -> None:
    run = state.runs[timer.scope]
    if timer.kind == "retry":
        run.retry_timer = name
        return
    record = run.records[timer.key]
    record.timer = name
    if record.wait is not None:
        state.waits[record.wait] = msgspec.structs.replace(state.waits[record.wait], timer=name)


def _reenter(state: State, scope: Scope, n: int) -> None:
    """Begin the failed node again; a stage keeps its steps and the arguments it had."""
    scope.failure = None
    state.due.pop(scope.path, None)
    failed = scope.run
    if failed is None:
        cursor.enter(state, scope, scope.node, n)
        return
    scope.visit = n
    scope.run = Run(
        node=failed.node, visit=n, arguments=failed.arguments, missing=failed.missing, records=_steps(failed)
    )
    state.runs[scope.path] = scope.run


def _command_rejected(state: State, event: ev.CommandRejected) -> None:
    assert isinstance(event.cause, int)
    state.refusal = Refusal(command_seq=event.cause, problems=tuple(event.problems), command=event.command)


def _archived(state: State, event: ev.SessionArchived) -> None:
    state.outcome = "archived"
    state.last_command = max(event.last_command, state.last_command)
    state.start_id = event.start_id
    state.archived = event.summary


# --- stages ----------------------------------------------------------------------------------------------------


def _stage_completed(state: State, event: ev.StageCompleted) -> None:
    scope = state.scopes[event.scope]
    for path, value in event.writes.items():
        scope.frame.write(path, value)
    cursor.leave(state, scope)
    cursor.enter(state, scope, event.next, event.n)


def _stage_failed(state: State, event: ev.StageFailed) -> None:
    scope = state.scopes[event.scope]
    run = state.runs[event.scope]
    if event.retry:
        cursor.close_calls(state, scope, run)
        run.attempt += 1
        run.failures += 1
        run.records = _steps(run)
        if event.timer is not None and event.due is not None:
            run.retry_timer = event.timer
            state.timers[event.timer] = Timer(due=event.due, kind="retry", scope=event.scope, n=event.n)
            cursor.block(state, run)
    elif event.next is not None:
        scope.error = event.error
        cursor.leave(state, scope)
        cursor.enter(state, scope, event.next, event.n)
    else:
        cursor.fail(state, scope, event.error)


def _steps(run: Run) -> dict[str, Record]:
    return {key: record for key, record in run.records.items() if record.kind == "step"}


def _stage_interrupted(state: State, event: ev.StageInterrupted) -> None:
    state.runs[event.scope].interruptions += 1


def _stage_skipped(state: State, event: ev.StageSkipped) -> None:
    scope = state.scopes[event.scope]
    cursor.leave(state, scope)
    cursor.enter(state, scope, event.next, event.n)


def _skip_denied(state: State, event: ev.SkipDenied) -> None:
    assert isinstance(event.cause, int)
    command = {"action": "skip", "scope": event.scope}
    state.refusal = Refusal(command_seq=event.cause, problems=tuple(event.problems), command=command)


def _stage_event(state: State, event: ev.StageEvent) -> None:
    state.runs[event.scope].records[event.key] = Record(kind="emit")


def _step_completed(state: State, event: ev.StepCompleted) -> None:
    state.runs[event.scope].records[event.key] = Record(kind="step", value=event.value)


def _timer_set(state: State, event: ev.TimerSet) -> None:
    run = state.runs[event.scope]
    record = Record(kind="sleep", open=True, alone=event.alone, timer=event.timer)
    cursor.open_call(state, run, event.key, record)
    state.timers[event.timer] = Timer(due=event.due, kind="sleep", scope=event.scope, key=event.key, n=event.n)


def _timer_fired(state: State, event: ev.TimerFired) -> None:
    timer = state.timers.pop(event.timer)
    run = state.runs[timer.scope]
    if timer.kind == "retry":
        run.retry_timer = None
        cursor.unblock(state, run)
    else:
        cursor.settle(state, run, run.records[timer.key])


# --- inputs ----------------------------------------------------------------------------------------------------


def _waiting_for_input(state: State, event: ev.WaitingForInput) -> None:
    run = state.runs[event.scope]
    if event.took is not None:
        value = _take(state, event.input_type, event.took)
        run.records[event.key] = Record(kind="wait", value=value)
        return
    record = Record(kind="wait", open=True, alone=event.alone, wait=event.wait, timer=event.timer)
    cursor.open_call(state, run, event.key, record)
    state.waits[event.wait] = Wait(
        type=event.input_type, scope=event.scope, key=event.key, schema=event.schema, timer=event.timer
    )
    if event.timer is not None and event.due is not None:
        state.timers[event.timer] = Timer(due=event.due, kind="wait", scope=event.scope, key=event.key, n=event.n)


def _take(state: State, input_type: str, n: int) -> dict[str, Any]:
    """Take the buffered input `n` out of the buffer."""
    kept = state.inputs[input_type]
    taken = next(item for item in kept if item.n == n)
    kept.remove(taken)
    if not kept:
        del state.inputs[input_type]
    return {"type": input_type, "payload": taken.payload}


def _user_input(state: State, event: ev.UserInput) -> None:
    value = {"type": event.input_type, "payload": event.payload}
    state.input_history.append(value)
    for wait_id in event.waits:
        wait = state.waits[wait_id]
        run = state.runs[wait.scope]
        cursor.settle(state, run, run.records[wait.key], value)
    if not event.waits:
        seq = event.cause if isinstance(event.cause, int) else 0
        item = BufferedInput(n=event.n, seq=seq, payload=event.payload)
        state.inputs.setdefault(event.input_type, []).append(item)


def _input_rejected(state: State, event: ev.InputRejected) -> None:
    if event.buffered is not None:
        _take(state, event.input_type, event.buffered)
    command = {"type": event.input_type, "payload": event.payload}
    state.refusal = Refusal(command_seq=event.command_seq, problems=tuple(event.problems), command=command)


def _input_timeout(state: State, event: ev.InputTimeout) -> None:
    wait = state.waits[event.wait]
    run = state.runs[wait.scope]
    cursor.settle(state, run, run.records[wait.key])


# --- the other nodes -------------------------------------------------------------------------------------------


def _condition_evaluated(state: State, event: ev.ConditionEvaluated) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    if event.error is not None:
        cursor.fail(state, scope, event.error)
    else:
        cursor.enter(state, scope, event.next, event.n)


def _parallel_started(state: State, event: ev.ParallelStarted) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    node = cursor.node_of(scope)
    scope.join = Join(open={}, failures=[])
    for child in event.children:
        cursor.open_branch(state, scope, scope.join, node, child, event.n)  # type: ignore[arg-type]


def _branch_completed(state: State, event: ev.BranchCompleted) -> None:
    parent, join = _close_inner(state, event.scope)
    node: Any = cursor.node_of(parent)
    if event.error is None:
        join.succeeded += 1
    else:
        join.failures.append(ev.BranchFailure(branch=event.branch, error=event.error))
    lost = event.error is not None and node.first_failure_ends
    won = join.succeeded > 0 and node.policy == "any"
    if lost or won or not join.open:
        state.settled[parent.path] = None


def _close_inner(state: State, path: str) -> tuple[Scope, Join]:
    """Take an ended inner scope out of the tree and of its join."""
    parent_path = state.scopes[path].parent
    assert parent_path is not None
    parent = state.scopes[parent_path]
    assert parent.join is not None
    cursor.drop(state, path)
    del parent.join.open[path]
    return parent, parent.join


def _parallel_completed(state: State, event: ev.ParallelCompleted) -> None:
    _complete_join(state, event.scope, event.next, event.error, event.n)


def _complete_join(state: State, path: str, target: str | None, error: ev.ErrorInfo | None, n: int) -> None:
    scope = state.scopes[path]
    state.settled.pop(path, None)
    state.due.pop(path, None)
    if scope.join is not None:
        for inner in list(scope.join.open):
            cursor.drop(state, inner)
        scope.join = None
    if error is not None:
        cursor.fail(state, scope, error)
    else:
        cursor.enter(state, scope, target, n)


def _map_started(state: State, event: ev.MapStarted) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    node: Any = cursor.node_of(scope)
    items = scope.frame.share(node.items)
    outputs: list[dict[str, Any]] = [{} for _ in items]
    scope.join = Join(open={}, failures=[], items=items, outputs=outputs, base=scope.frame.fork().root)
    for _ in range(min(event.count, node.width or event.count)):
        cursor.open_iteration(state, scope, scope.join, node, event.n)
    if not event.count:
        state.settled[event.scope] = None


def _iteration_completed(state: State, event: ev.IterationCompleted) -> None:
    parent, join = _close_inner(state, event.scope)
    node: Any = cursor.node_of(parent)
    if event.error is not None:
        join.failures.append(ev.BranchFailure(branch=str(event.index), error=event.error))
        if node.cancel_on_error:
            state.settled[parent.path] = None
            return
    else:
        join.succeeded += 1
        join.outputs[event.index] = event.outputs
    if join.started < len(join.items):
        cursor.open_iteration(state, parent, join, node, event.n)
    elif not join.open:
        state.settled[parent.path] = None


def _map_completed(state: State, event: ev.MapCompleted) -> None:
    scope = state.scopes[event.scope]
    if event.error is None:
        for path, values in map_writes(scope).items():
            scope.frame.write(path, values)
    _complete_join(state, event.scope, event.next, event.error, event.n)


def map_writes(scope: Scope) -> dict[str, list[Any]]:
    """What a finished map writes to its parent: target path -> one entry per item, null where there is none."""
    node: Any = cursor.node_of(scope)
    assert scope.join is not None
    return {
        target: [outputs.get(source) for outputs in scope.join.outputs] for source, target in node.output_map.items()
    }


def _subpipeline_started(state: State, event: ev.SubpipelineStarted) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    scope.join = Join(open={}, failures=[])
    cursor.open_child(state, scope, scope.join, cursor.node_of(scope), event.n)  # type: ignore[arg-type]


def _subpipeline_completed(state: State, event: ev.SubpipelineCompleted) -> None:
    scope = state.scopes[event.scope]
    if event.error is None:
        for path, value in subpipeline_writes(cursor.node_of(scope), event.result, event.artifacts).items():
            scope.frame.write(path, value)
    _complete_join(state, event.scope, event.next, event.error, event.n)


def subpipeline_writes(node: Any, result: dict[str, Any] | None, artifacts: dict[str, Any]) -> dict[str, Any]:
    """What a finished subpipeline writes to its parent."""
    writes = {target: artifacts[source] for target, source in node.artifact_outputs.items()}
    if node.result_output is not None:
        writes[node.result_output] = result
    return writes


TRANSITIONS: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.SessionStarted: _started,
    ev.SessionPaused: _paused,
    ev.SessionResumed: _resumed,
    ev.SessionStopped: _stopped,
    ev.SessionTerminated: _terminated,
    ev.SessionCompleted: _completed,
    ev.SessionFailed: _failed,
    ev.SessionRetried: _retried,
    ev.CommandRejected: _command_rejected,
    ev.SessionArchived: _archived,
    ev.StageCompleted: _stage_completed,
    ev.StageFailed: _stage_failed,
    ev.StageTimeout: _stage_failed,
    ev.StageInterrupted: _stage_interrupted,
    ev.StageSkipped: _stage_skipped,
    ev.SkipDenied: _skip_denied,
    ev.StageEvent: _stage_event,
    ev.StepCompleted: _step_completed,
    ev.TimerSet: _timer_set,
    ev.TimerFired: _timer_fired,
    ev.WaitingForInput: _waiting_for_input,
    ev.UserInput: _user_input,
    ev.InputRejected: _input_rejected,
    ev.InputTimeout: _input_timeout,
    ev.ConditionEvaluated: _condition_evaluated,
    ev.ParallelStarted: _parallel_started,
    ev.BranchCompleted: _branch_completed,
    ev.ParallelCompleted: _parallel_completed,
    ev.MapStarted: _map_started,
    ev.IterationCompleted: _iteration_completed,
    ev.MapCompleted: _map_completed,
    ev.SubpipelineStarted: _subpipeline_started,
    ev.SubpipelineCompleted: _subpipeline_completed,
}
"""The fold as a table; a test holds it total over `AnyEvent`."""
