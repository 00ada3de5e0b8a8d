"""Moving cursors through the scope tree: entering a node, opening and dropping scopes, failing. Used by the fold."""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.pipeline import MapNode, Node, ParallelNode, StageNode, SubpipelineNode
from stageflow_es.session.events import ErrorInfo
from stageflow_es.session.paths import MISSING, Frame, parse, read
from stageflow_es.session.state import Join, Record, Run, Scope, State, scope_path

ERROR_ROOT = "$error"
"""The root of the paths under which a fallback reads the failure that led to it."""


def node_of(scope: Scope) -> Node:
    """The node the cursor of `scope` is at."""
    assert scope.node is not None
    return scope.pipeline.node(scope.node)


def enter(state: State, scope: Scope, target: str | None, n: int) -> None:
    """Move the cursor to `target`; what is outstanding there follows. `n` is the event that moves it."""
    scope.node, scope.visit = target, n
    scope.run = scope.join = None
    state.transitions += 1
    if target is None or (scope.parent is not None and _leaves(state, scope, scope.parent, target)):
        _reach_end(state, scope)
        return
    stage = scope.pipeline.stage_nodes.get(target)
    if stage is not None:
        scope.run = state.runs[scope.path] = new_run(scope, stage, n)
    else:
        scope.pipeline.node(target)  # which has to be there
        state.due[scope.path] = None


def _leaves(state: State, scope: Scope, parent: str, target: str) -> bool:
    """Whether going to `target` leaves the scope: the join's own `next` runs after the join, and once."""
    if scope.kind == "child":
        return False
    join = node_of(state.scopes[parent])
    return isinstance(join, (ParallelNode, MapNode)) and join.next == target


def _reach_end(state: State, scope: Scope) -> None:
    if scope.kind in ("root", "child"):
        message = "the pipeline came to a node without `next`; only a terminal ends a pipeline"
        fail(state, scope, ErrorInfo(type="NoNextNode", message=message, scope=scope.path))
    else:
        scope.node = None
        state.due[scope.path] = None


def new_run(scope: Scope, node: StageNode, n: int) -> Run:
    """A run that begins, with its arguments as the context has them now."""
    arguments: dict[str, Any] = {}
    missing: list[str] = []
    for name, path in node.arguments.items():
        value = share(scope, path) if path.startswith(ERROR_ROOT) else scope.frame.share(path)
        if value is MISSING:
            missing.append(name)
            value = None
        arguments[name] = value
    return Run(node=node.id, visit=n, arguments=arguments, missing=missing, records={})


def share(scope: Scope, path: str) -> Any:
    """A value of the scope's context for keeping, or MISSING; `$error` reads the failure that led to a fallback."""
    if path.startswith(ERROR_ROOT):
        parts = parse(path)
        if parts[0] == ERROR_ROOT:
            return read(error_data(scope.error), parts[1:])
    return scope.frame.share(path)


def look(scope: Scope, path: str) -> Any:
    """A value of the scope's context for a passing look, or MISSING; like `share`, but not for keeping."""
    return share(scope, path) if path.startswith(ERROR_ROOT) else scope.frame.get(path)


def error_data(error: ErrorInfo | None) -> Any:
    """A failure as context data, or MISSING."""
    return MISSING if error is None else msgspec.to_builtins(error)


def fail(state: State, scope: Scope, error: ErrorInfo) -> None:
    """The scope failed: what that means for its parents is due. Its run stays for what a retry may keep of it."""
    if scope.run is not None:
        close_calls(state, scope.run)
        del state.runs[scope.path]
    scope.failure = error
    state.due[scope.path] = None


def leave(state: State, scope: Scope) -> None:
    """End the scope's run, with its waits and timers."""
    run = scope.run
    if run is not None:
        if run.records or run.retry_timer is not None:
            close_calls(state, run)
        del state.runs[scope.path]
        scope.run = None


def close_calls(state: State, run: Run) -> None:
    """Close every wait, sleep and delay the run has open."""
    for record in run.records.values():
        if record.open:
            settle(state, run, record)
    if run.retry_timer is not None:
        state.timers.pop(run.retry_timer, None)
        run.retry_timer = None
        unblock(state, run)


def settle(state: State, run: Run, record: Record, value: Any = None) -> None:
    """Close one open call of a run with what it came to."""
    record.open, record.value = False, value
    if record.alone:
        unblock(state, run)
    if record.wait is not None:
        state.waits.pop(record.wait, None)
    if record.timer is not None:
        state.timers.pop(record.timer, None)
        record.timer = None


def open_call(state: State, run: Run, key: str, record: Record) -> None:
    """Remember a call of the run that is waited for."""
    run.records[key] = record
    if record.alone:
        block(state, run)


def steps_of(run: Run) -> dict[str, Record]:
    """The records that outlive a failed attempt: steps alone."""
    return {key: record for key, record in run.records.items() if record.kind == "step"}


def block(state: State, run: Run) -> None:
    """The run waits for one thing more, and does nothing else meanwhile."""
    run.blocked += 1
    if run.blocked == 1:
        state.blocked += 1


def unblock(state: State, run: Run) -> None:
    """One thing less is waited for."""
    run.blocked -= 1
    if run.blocked == 0:
        state.blocked -= 1


def drop(state: State, path: str) -> None:
    """Take the scope at `path` and all inside it out of the tree."""
    for scope in list(state.walk(path)):
        if scope.path in state.runs:
            state.touch(scope.path)
            leave(state, scope)
        state.due.pop(scope.path, None)
        state.settled.pop(scope.path, None)
        del state.scopes[scope.path]


def open_branch(state: State, parent: Scope, join: Join, node: ParallelNode, child: str, n: int) -> None:
    """Open a branch of a parallel node."""
    scope = Scope(
        path=scope_path(parent.path, node.id, child),
        kind="branch",
        key=child,
        parent=parent.path,
        pipeline=parent.pipeline,
        frame=parent.frame,
    )
    _add(state, join, scope)
    enter(state, scope, child, n)


def open_iteration(state: State, parent: Scope, join: Join, node: MapNode, n: int) -> None:
    """Open the next iteration of a map."""
    index = join.started
    join.started += 1
    scope = iteration_scope(parent, join, node, index)
    _add(state, join, scope)
    enter(state, scope, node.body, n)


def iteration_scope(parent: Scope, join: Join, node: MapNode, index: int) -> Scope:
    """The scope of item `index`, its frame as it is when the iteration begins."""
    assert join.base is not None
    return Scope(
        path=scope_path(parent.path, node.id, index),
        kind="iteration",
        key=str(index),
        index=index,
        parent=parent.path,
        pipeline=parent.pipeline,
        frame=iteration_frame(join.base, node, join.items[index], index),
    )


def iteration_frame(base: dict[str, Any], node: MapNode, item: Any, index: int) -> Frame:
    """The parent's context as it was when the map began, with the item. Raises PathError on a bad `item_path`."""
    frame = Frame(base)
    frame.write(node.item_path, item)
    if node.index_path is not None:
        frame.write(node.index_path, index)
    frame.begin_journal()
    return frame


def open_child(state: State, parent: Scope, join: Join, node: SubpipelineNode, n: int) -> None:
    """Open a subpipeline, in a context of its own."""
    pipeline = parent.pipeline.subpipelines[node.subpipeline_id]
    scope = Scope(
        path=scope_path(parent.path, node.id),
        kind="child",
        key=node.id,
        parent=parent.path,
        pipeline=pipeline,
        frame=child_frame(parent, node),
    )
    _add(state, join, scope)
    enter(state, scope, pipeline.entry, n)


def child_frame(parent: Scope, node: SubpipelineNode) -> Frame:
    """A subpipeline's own root context, from `inputs`; what is missing in the parent is null. Raises PathError."""
    frame = Frame({})
    for child_path, parent_path in node.inputs.items():
        value = share(parent, parent_path)
        frame.write(child_path, None if value is MISSING else value)
    return frame


def _add(state: State, join: Join, scope: Scope) -> None:
    state.touch(scope.path)
    state.scopes[scope.path] = scope
    join.open[scope.path] = None
