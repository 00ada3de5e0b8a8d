"""Why a session stands where it stands: what it waits for, why it failed, which way it went.

An `Explainer` follows the events beside the fold. It keeps of them what the state forgets: when things began, and
what the last conditions saw, which is read from the state before the event. What comes of it is an `explanation`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from stageflow_es.pipeline import Catalog, ConditionNode, MapNode, ParallelNode, StageNode, condition_data
from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.explanation import (
    Choice,
    Explanation,
    Failure,
    Kept,
    RunsStage,
    TriedRule,
    Waiting,
    WaitsForBranches,
    WaitsForInput,
    WaitsForTimer,
)
from stageflow_es.session.paths import MISSING, copy, read
from stageflow_es.session.state import Run, Scope, State

CHOICES = 5
"""The last conditions an explanation has."""


class _Tries(msgspec.Struct):
    """The failed attempts of one visit of a stage."""

    visit: int
    stage: str
    errors: list[ev.ErrorInfo]


class Explainer:
    """Follows a history: `before` each event with the state as it was, then `explain` the state after the last.

    `stages` is what is known of the stage classes here, to say how many attempts they may take.
    """

    def __init__(self, stages: Catalog | None = None) -> None:
        self._stages: Catalog = stages or {}
        self._times: list[str] = []
        self._choices: deque[Choice] = deque(maxlen=CHOICES)
        self._tries: dict[str, _Tries] = {}
        self._began: dict[str, int] = {}
        self._attempts: dict[str, int] = {}
        self._failed: Failure | None = None
        self._steered: ev.Event | None = None

    def before(self, state: State, event: ev.AnyEvent) -> None:
        """Note an event that is about to be folded into `state`."""
        self._times.append(event.at)
        match event:
            case ev.ConditionEvaluated():
                self._choices.append(_choice(state, event))
            case ev.StageFailed():
                self._try(state, event)
            case ev.TimerFired() if state.timers[event.timer].kind == "retry":
                self._attempts[state.timers[event.timer].scope] = event.n
            case ev.ParallelStarted() | ev.MapStarted() | ev.SubpipelineStarted():
                self._began[event.scope] = event.n
            case ev.SessionFailed():
                self._failed = self._failure(event)
            case ev.SessionPaused() | ev.SessionStopped():
                self._steered = event

    def explain(self, state: State) -> Explanation:
        """The explanation of the state after the events noted."""
        paused, stopped = state.status == "paused", state.outcome == "stopped"
        steered = self._steered if paused or stopped else None
        return Explanation(
            session=state.session,
            n=state.n,
            status=state.status,
            since=state.updated_at,
            paused_by=_pause(steered) if paused else None,
            due=state.stirring(),
            waiting=[] if state.outcome else self._waiting(state),
            kept=[Kept(n=item.n, input_type=name) for name, items in state.inputs.items() for item in items],
            failure=self._failed if state.outcome == "failed" else None,
            choices=list(self._choices),
            ended_at=state.finished_at,
            result=state.result,
            artifacts=state.artifacts,
            reason=getattr(steered, "reason", None),
        )

    # --- waiting ---

    def _waiting(self, state: State) -> list[Waiting]:
        found: list[Waiting] = []
        for scope in state.scopes.values():
            if scope.join is not None and scope.node is not None:
                found.append(self._join(scope))
            run = state.runs.get(scope.path)
            if run is not None:
                found += self._run(state, scope, run)
        return found

    def _join(self, scope: Scope) -> WaitsForBranches:
        node, join = cursor.node_of(scope), scope.join
        assert join is not None
        inside = len(join.open)
        match node:
            case ParallelNode():
                total, names = len(node.children), [path.rpartition("/")[2] for path in join.open]
            case MapNode():
                total, names = len(join.items), [path.rpartition("[")[2][:-1] for path in join.open]
            case _:
                total, names = 1, [getattr(node, "subpipeline_id", "")]
        n = self._began[scope.path]
        return WaitsForBranches(
            node=node.id,
            scope=scope.path,
            type=str(node.__struct_config__.tag),
            open=names,
            ended=join.succeeded + len(join.failures) if total > 1 else total - inside,
            failed=len(join.failures),
            total=total,
            policy=node.policy if isinstance(node, ParallelNode) else None,
            since=self._times[n - 1],
            since_n=n,
        )

    def _run(self, state: State, scope: Scope, run: Run) -> list[Waiting]:
        node = scope.pipeline.node(run.node)
        assert isinstance(node, StageNode)
        place: dict[str, Any] = {"node": node.id, "scope": scope.path, "stage": node.stage}
        found: list[Waiting] = []
        for name, wait in state.waits.items():
            if wait.scope == scope.path:
                timer = state.timers.get(wait.timer or "")
                found.append(
                    WaitsForInput(
                        **place,
                        input_type=wait.type,
                        schema=wait.schema,
                        **self._since(int(name.removeprefix("w"))),
                        until=None if timer is None else timer.due,
                    )
                )
        for timer in state.timers.values():
            if timer.scope == scope.path and timer.kind != "wait":
                attempt = run.attempt if timer.kind == "retry" else None
                found.append(WaitsForTimer(**place, **self._since(timer.n), until=timer.due, attempt=attempt))
        if not run.blocked:
            found.append(self._running(node, scope, run))
        return found

    def _running(self, node: StageNode, scope: Scope, run: Run) -> RunsStage:
        spec = self._stages.get(node.stage)
        return RunsStage(
            node=node.id,
            scope=scope.path,
            stage=node.stage,
            attempt=run.attempt,
            attempts=None if spec is None else spec.retries + 1,
            **self._since(run.visit if run.attempt == 1 else max(run.visit, self._attempts.get(scope.path, 0))),
            interruptions=run.interruptions,
        )

    def _since(self, n: int) -> dict[str, Any]:
        return {"since": self._times[n - 1], "since_n": n}

    # --- failing ---

    def _try(self, state: State, event: ev.StageFailed) -> None:
        """Remember a failed attempt: by scope, for the visit it belongs to."""
        visit = state.runs[event.scope].visit
        tries = self._tries.get(event.scope)
        if tries is None or tries.visit != visit:
            tries = self._tries[event.scope] = _Tries(visit, event.stage, [])
        tries.errors.append(event.error)
        self._attempts[event.scope] = event.n

    def _failure(self, event: ev.SessionFailed) -> Failure:
        tries = self._tries.get(event.error.scope)
        if tries is None or tries.errors[-1] != event.error:
            return Failure(n=event.n, at=event.at, error=event.error)
        return Failure(n=event.n, at=event.at, error=event.error, stage=tries.stage, attempts=list(tries.errors))


def _pause(event: ev.Event | None) -> str:
    """How the session came to be paused: it was paused, or was begun so."""
    return "start" if event is None else f"event {event.n}"


def _choice(state: State, event: ev.ConditionEvaluated) -> Choice:
    """What a condition saw: the rules it tried, with the values they read."""
    scope = state.scopes[event.scope]
    node = cursor.node_of(scope)
    assert isinstance(node, ConditionNode)
    error = cursor.error_data(scope.error)
    data = condition_data(scope.frame.root, None if error is MISSING else error)
    tried = len(node.conditions) if event.branch is None else event.branch + 1
    rules = [
        _tried(
            node.conditions[index].when, rule.variables, data, None if _erred(event, index) else index == event.branch
        )
        for index, rule in enumerate(scope.pipeline.conditions(node.id)[:tried])
    ]
    return Choice(
        n=event.n,
        node=node.id,
        scope=event.scope,
        rules=rules,
        branch=event.branch,
        next=event.next,
        error=event.error,
    )


def _erred(event: ev.ConditionEvaluated, index: int) -> bool:
    return event.error is not None and index == event.branch


def _tried(rule: Any, variables: tuple[str, ...], data: dict[str, Any], truthy: bool | None) -> TriedRule:
    """A rule with what it read. The values are copied: the context goes on."""
    values = {name: read(data, tuple(name.split("."))) if name else data["payload"] for name in variables}
    return TriedRule(
        rule=rule,
        truthy=truthy,
        variables={name: copy(value) for name, value in values.items() if value is not MISSING},
        missing=[name for name, value in values.items() if value is MISSING],
    )
