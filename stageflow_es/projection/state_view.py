"""A state as its readers see it: the answer of `session.state`. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.session import State
from stageflow_es.session.state import Run, Scope


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A stage in progress. `calls`: its recorded calls, the open ones included, by kind, name and occurrence."""

    attempt: int
    failures: int
    interruptions: int
    arguments: dict[str, Any]
    calls: list[str]


class ScopeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One cursor. `inner`: how many scopes a parallel, map or subpipeline node has open."""

    path: str
    kind: str
    node: str | None
    run: RunView | None = None
    inner: int | None = None
    error: Any = None


class WaitView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str
    type: str
    scope: str
    due: str | None = None


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """A session at one version. `inputs`: those nobody waited for yet, by type, in order."""

    session: str
    version: int
    head: str
    status: str
    pipeline: str | None
    digest: str
    context: dict[str, Any]
    nodes: list[str]
    waiting_for: list[str]
    scopes: list[ScopeView]
    waits: list[WaitView]
    inputs: dict[str, list[Any]]
    result: Any
    artifacts: dict[str, Any]
    error: Any
    labels: dict[str, str]
    started_at: str | None
    updated_at: str | None
    finished_at: str | None


def state_view(state: State) -> StateView:
    """The readable form of a state. Of an archived session it has what its last event says, as its row does."""
    view = _view(state)
    if state.archived is None:
        return view
    told = {name: state.archived[name] for name in _TOLD if state.archived.get(name) is not None}
    return msgspec.structs.replace(view, **told)


_TOLD = ("pipeline", "digest", "labels", "result", "artifacts", "error", "started_at", "finished_at")


def _view(state: State) -> StateView:
    return StateView(
        session=state.session,
        version=state.n,
        head=state.head,
        status=state.status,
        pipeline=state.pipeline_name,
        digest=state.digest,
        context=state.root.frame.root if state.scopes else {},
        nodes=state.current_nodes(),
        waiting_for=state.waiting_for(),
        scopes=[_scope(scope) for scope in state.scopes.values()],
        waits=_waits(state),
        inputs={name: [kept.payload for kept in inputs] for name, inputs in state.inputs.items()},
        result=state.result,
        artifacts=state.artifacts,
        error=state.error,
        labels=state.labels,
        started_at=state.started_at or None,
        updated_at=state.updated_at or None,
        finished_at=state.finished_at,
    )


def _scope(scope: Scope) -> ScopeView:
    return ScopeView(
        path=scope.path,
        kind=scope.kind,
        node=scope.node,
        run=None if scope.run is None else _run(scope.run),
        inner=None if scope.join is None else len(scope.join.open),
        error=scope.failure or scope.error,
    )


def _run(run: Run) -> RunView:
    return RunView(
        attempt=run.attempt,
        failures=run.failures,
        interruptions=run.interruptions,
        arguments=run.arguments,
        calls=list(run.records),
    )


def _waits(state: State) -> list[WaitView]:
    due = {name: timer.due for name, timer in state.timers.items()}
    return [
        WaitView(id=name, type=wait.type, scope=wait.scope, due=due.get(wait.timer or ""))
        for name, wait in state.waits.items()
    ]
