"""What conditions, joins and subpipelines change: cursors move, scopes open and close."""

from __future__ import annotations

from typing import Any

from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.state import Join, Scope, State


def condition_evaluated(state: State, event: ev.ConditionEvaluated) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    if event.error is not None:
        cursor.fail(state, scope, event.error)
    else:
        cursor.enter(state, scope, event.next, event.n)


def parallel_started(state: State, event: ev.ParallelStarted) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    node = cursor.node_of(scope)
    scope.join = Join(open={}, failures=[])
    for child in event.children:
        cursor.open_branch(state, scope, scope.join, node, child, event.n)  # type: ignore[arg-type]


def branch_completed(state: State, event: ev.BranchCompleted) -> None:
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


def parallel_completed(state: State, event: ev.ParallelCompleted) -> None:
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


def map_started(state: State, event: ev.MapStarted) -> None:
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


def iteration_completed(state: State, event: ev.IterationCompleted) -> None:
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


def map_completed(state: State, event: ev.MapCompleted) -> None:
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


def subpipeline_started(state: State, event: ev.SubpipelineStarted) -> None:
    scope = state.scopes[event.scope]
    del state.due[event.scope]
    scope.join = Join(open={}, failures=[])
    cursor.open_child(state, scope, scope.join, cursor.node_of(scope), event.n)  # type: ignore[arg-type]


def subpipeline_completed(state: State, event: ev.SubpipelineCompleted) -> None:
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
