"""The internal transitions: what is due in a state, as the next event. One function for each kind of node.

A transition is due when nothing outside is needed for it: a condition to evaluate, a join whose last branch ended, a
failure to carry upward. Joins that are decided come first, so that nothing else happens inside them any more.
"""

from __future__ import annotations

from typing import Any

from stageflow_es.errors import PathError, RuleError
from stageflow_es.pipeline import (
    ConditionNode,
    MapNode,
    ParallelNode,
    SubpipelineNode,
    TerminalNode,
    condition_data,
)
from stageflow_es.pipeline.values import unfit
from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.commands import Command
from stageflow_es.session.evolve_nodes import map_writes, subpipeline_writes
from stageflow_es.session.paths import MISSING, Frame
from stageflow_es.session.room import no_room
from stageflow_es.session.state import Scope, State


def stamp(state: State, command: Command, cause: ev.Cause = None, **fields: Any) -> dict[str, Any]:
    """The envelope of the next event of `state`, and the fields given."""
    fields["session"] = state.session
    fields["n"] = state.n + 1
    fields["at"] = command.at
    fields["by"] = command.by
    fields["cause"] = cause
    fields["prev"] = state.head
    return fields


def next_transition(state: State, command: Command) -> ev.Event | None:
    """The internal transition that is due first, or None. `command` only lends its time and engine."""
    if not state.active:
        return None
    if state.terminated:
        return _completed(state, command)
    if state.transitions > state.pipeline.max_transitions:
        return _runaway(state, command)
    for path in state.settled:
        return _complete_join(state, command, state.scopes[path])
    for path in state.due:
        return _of_scope(state, command, state.scopes[path])
    return None


def _completed(state: State, command: Command) -> ev.Event:
    root = state.root
    node = cursor.node_of(root)
    assert isinstance(node, TerminalNode)
    return ev.SessionCompleted(**stamp(state, command), result=node.result, artifacts=_artifacts(root, node))


def _artifacts(scope: Scope, node: TerminalNode) -> dict[str, Any]:
    values = {path: cursor.share(scope, path) for path in node.artifacts}
    return {path: None if value is MISSING else value for path, value in values.items()}


def _runaway(state: State, command: Command) -> ev.Event:
    limit = state.pipeline.max_transitions
    message = f"more than {limit} transitions (max_transitions): the pipeline does not seem to end"
    return ev.SessionFailed(**stamp(state, command), error=ev.ErrorInfo(type="TransitionLimit", message=message))


def _of_scope(state: State, command: Command, scope: Scope) -> ev.Event:
    if scope.failure is not None:
        return _carry_failure(state, command, scope, scope.failure)
    if scope.node is None:
        return _leave_join(state, command, scope, None)
    node = cursor.node_of(scope)
    match node:
        case ConditionNode():
            return _evaluate(state, command, scope, node)
        case ParallelNode():
            return _start_parallel(state, command, scope, node)
        case MapNode():
            return _start_map(state, command, scope, node)
        case SubpipelineNode():
            return _start_subpipeline(state, command, scope, node)
        case TerminalNode():
            return _terminate(state, command, scope, node)
        case _:
            raise AssertionError(f"nothing is due at a {type(node).__name__}")


def _evaluate(state: State, command: Command, scope: Scope, node: ConditionNode) -> ev.Event:
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id}
    error = cursor.error_data(scope.error)
    data = condition_data(scope.frame.root, None if error is MISSING else error)
    for index, rule in enumerate(scope.pipeline.conditions(node.id)):
        try:
            if rule.truthy(data):
                return ev.ConditionEvaluated(**envelope, branch=index, next=node.conditions[index].then)
        except RuleError as problem:
            return ev.ConditionEvaluated(**envelope, branch=index, error=_error(scope, "RuleError", str(problem)))
    if node.otherwise is None:
        message = "no condition was truthy and there is no `else`"
        return ev.ConditionEvaluated(**envelope, error=_error(scope, "NoBranch", message))
    return ev.ConditionEvaluated(**envelope, next=node.otherwise)


def _error(scope: Scope, kind: str, message: str) -> ev.ErrorInfo:
    return ev.ErrorInfo(type=kind, message=message, node=scope.node, scope=scope.path)


def _start_parallel(state: State, command: Command, scope: Scope, node: ParallelNode) -> ev.Event:
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id}
    if full := no_room(state, scope, node.id, len(node.children)):
        return ev.ParallelCompleted(**envelope, error=full)
    return ev.ParallelStarted(**envelope, children=list(node.children))


def _start_map(state: State, command: Command, scope: Scope, node: MapNode) -> ev.Event:
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id}
    items = scope.frame.get(node.items)
    if not isinstance(items, list):
        found = "missing" if items is MISSING else f"{type(items).__name__}, not a list"
        error = _error(scope, "MapItems", f"items at {node.items!r}: {found}")
        return ev.MapCompleted(**envelope, error=error)
    if items:
        if full := no_room(state, scope, node.id, min(len(items), node.width or len(items))):
            return ev.MapCompleted(**envelope, error=full)
        try:
            cursor.iteration_frame(scope.frame.fork().root, node, items[0], 0)
        except PathError as problem:
            return ev.MapCompleted(**envelope, error=_error(scope, "PathError", str(problem)))
    return ev.MapStarted(**envelope, count=len(items))


def _start_subpipeline(state: State, command: Command, scope: Scope, node: SubpipelineNode) -> ev.Event:
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id}
    if full := no_room(state, scope, node.id, 1):
        return ev.SubpipelineCompleted(**envelope, subpipeline_id=node.subpipeline_id, error=full)
    try:
        if problem := unfit(cursor.child_frame(scope, node).root):
            raise PathError(f"what the subpipeline is given: {problem}")
    except PathError as refused:
        error = _error(scope, "PathError", str(refused))
        return ev.SubpipelineCompleted(**envelope, subpipeline_id=node.subpipeline_id, error=error)
    return ev.SubpipelineStarted(**envelope, subpipeline_id=node.subpipeline_id)


def _terminate(state: State, command: Command, scope: Scope, node: TerminalNode) -> ev.Event:
    match scope.kind:
        case "root":
            return ev.SessionTerminated(**stamp(state, command), node=node.id)
        case "child":
            return _return_from_child(state, command, scope, node)
        case "branch" | "iteration":
            return _leave_join(state, command, scope, None)


def _return_from_child(state: State, command: Command, scope: Scope, terminal: TerminalNode) -> ev.Event:
    parent = _parent(state, scope)
    node = cursor.node_of(parent)
    assert isinstance(node, SubpipelineNode)
    artifacts = _artifacts(scope, terminal)
    problem = unfit(artifacts)
    artifacts = {} if problem else artifacts
    envelope = {
        **stamp(state, command),
        "scope": parent.path,
        "node": node.id,
        "subpipeline_id": node.subpipeline_id,
        "result": terminal.result,
        "artifacts": artifacts,
    }
    error = None
    if problem:
        error = _error(parent, "TooLarge", f"what the subpipeline leaves behind: {problem}")
        return ev.SubpipelineCompleted(**envelope, error=error)
    absent = [name for name in node.artifact_outputs.values() if name not in artifacts]
    if absent:
        message = f"subpipeline {node.subpipeline_id!r} ended at {terminal.id!r} without artifact {absent[0]!r}"
        error = _error(parent, "MissingArtifact", message)
    elif problem := unwritable(parent.frame, subpipeline_writes(node, terminal.result, artifacts)):
        error = _error(parent, "PathError", problem)
    return ev.SubpipelineCompleted(**envelope, next=None if error else node.next, error=error)


def _parent(state: State, scope: Scope) -> Scope:
    assert scope.parent is not None
    return state.scopes[scope.parent]


def _leave_join(state: State, command: Command, scope: Scope, error: ev.ErrorInfo | None) -> ev.Event:
    """A branch or an iteration ended, well or with `error`."""
    node = cursor.node_of(_parent(state, scope))
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id, "error": error}
    if isinstance(node, MapNode):
        outputs = {} if error else _outputs(scope, node)
        if problem := unfit(outputs):
            outputs, envelope["error"] = {}, _error(scope, "TooLarge", f"what the iteration leaves behind: {problem}")
        return ev.IterationCompleted(**envelope, index=scope.index, outputs=outputs)
    return ev.BranchCompleted(**envelope, branch=scope.key)


def _outputs(scope: Scope, node: MapNode) -> dict[str, Any]:
    values = {path: scope.frame.share(path) for path in node.output_map}
    return {path: value for path, value in values.items() if value is not MISSING}


def _complete_join(state: State, command: Command, scope: Scope) -> ev.Event:
    node = cursor.node_of(scope)
    join = scope.join
    assert join is not None
    envelope = {**stamp(state, command), "scope": scope.path, "node": node.id, "failures": join.failures}
    if isinstance(node, ParallelNode):
        failed = join.failures and (node.first_failure_ends or node.policy == "any") and not _won(node, join.succeeded)
        error = join.failures[-1].error if failed else None
        cancelled = [state.scopes[path].key for path in join.open]
        target = None if error else node.next
        return ev.ParallelCompleted(**envelope, cancelled=cancelled, next=target, error=error)
    assert isinstance(node, MapNode)
    error = join.failures[-1].error if join.failures and node.cancel_on_error else None
    if error is None and (problem := unwritable(scope.frame, map_writes(scope))):
        error = _error(scope, "PathError", problem)
    return ev.MapCompleted(**envelope, next=None if error else node.next, error=error)


def _won(node: ParallelNode, succeeded: int) -> bool:
    return node.policy == "any" and succeeded > 0


def _carry_failure(state: State, command: Command, scope: Scope, error: ev.ErrorInfo) -> ev.Event:
    """A failed scope ends its session, unless a join further out goes on without it."""
    if not _absorbed(state, scope):
        return ev.SessionFailed(**stamp(state, command), error=error)
    parent = _parent(state, scope)
    node = cursor.node_of(parent)
    if isinstance(node, SubpipelineNode):
        return ev.SubpipelineCompleted(
            **stamp(state, command),
            scope=parent.path,
            node=node.id,
            subpipeline_id=node.subpipeline_id,
            error=error,
        )
    return _leave_join(state, command, scope, error)


def _absorbed(state: State, scope: Scope) -> bool:
    """Whether some join around the scope goes on although the scope failed."""
    while scope.parent is not None:
        parent = _parent(state, scope)
        node = cursor.node_of(parent)
        assert parent.join is not None
        match node:
            case ParallelNode(policy="all") if not node.first_failure_ends:
                return True
            case ParallelNode(policy="any") if not node.first_failure_ends and len(parent.join.open) > 1:
                return True
            case MapNode(cancel_on_error=False):
                return True
        scope = parent
    return False


def unwritable(frame: Frame, writes: dict[str, Any]) -> str | None:
    """Why these writes cannot all be made, or None. Changes nothing."""
    for path in writes:
        if "." in path or path == "payload":
            break
    else:
        return None
    trial = frame.fork()
    try:
        for path, value in writes.items():
            trial.write(path, value)
    except PathError as problem:
        return str(problem)
    return None
