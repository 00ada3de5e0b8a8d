"""Why a session stands where it stands: what it waits for, why it failed, which way it went.

An `Explainer` follows the events beside the fold. It keeps of them what the state forgets: when things began, and
what the last conditions saw, which is read from the state before the event. `telling` puts an explanation into words.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from stageflow_es.pipeline import Catalog, ConditionNode, MapNode, ParallelNode, StageNode, condition_data
from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.paths import MISSING, copy, read
from stageflow_es.session.state import Run, Scope, State

CHOICES = 5
"""The last conditions an explanation has."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Times are RFC 3339, UTC; `since_n` is the event since when it is so."""

    node: str
    scope: str = ""


class WaitsForInput(_Part, frozen=True, kw_only=True, tag="input"):
    """A stage waits for an input; `schema` is what it must satisfy, `until` when the stage goes on without."""

    stage: str
    input_type: str
    schema: Any = None
    since: str
    since_n: int
    until: str | None = None


class WaitsForTimer(_Part, frozen=True, kw_only=True, tag="timer"):
    """A stage sleeps, or its next attempt is delayed (`attempt`), until `until`."""

    stage: str
    since: str
    since_n: int
    until: str
    attempt: int | None = None


class RunsStage(_Part, frozen=True, kw_only=True, tag="stage"):
    """A stage is to run or running. `attempts`: how many it may take, None: its class is not known here;
    `interruptions`: how often its engine was lost meanwhile."""

    stage: str
    attempt: int
    attempts: int | None = None
    since: str
    since_n: int
    interruptions: int = 0


class WaitsForBranches(_Part, frozen=True, kw_only=True, tag="join"):
    """A parallel node, a map or a subpipeline waits for what is `open` inside it: children, indexes of items, or the
    subpipeline's id. `ended` of `total` are over, `failed` of them badly; `policy` is a parallel node's."""

    type: str
    open: list[str]
    ended: int
    failed: int
    total: int
    policy: str | None = None
    since: str
    since_n: int


Waiting = WaitsForInput | WaitsForTimer | RunsStage | WaitsForBranches


class TriedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it was evaluated: the values its variables had, absent ones left out."""

    rule: Any
    truthy: bool | None
    variables: dict[str, Any]
    missing: list[str]


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition that was evaluated: the rules up to the one that decided, and where it led. `branch` None: else."""

    n: int
    node: str
    scope: str = ""
    rules: list[TriedRule]
    branch: int | None = None
    next: str | None = None
    error: ev.ErrorInfo | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the session failed. Where it was a stage that failed, with no fallback to go to: its name, and the errors of
    its `attempts` in that visit, oldest first."""

    n: int
    at: str
    error: ev.ErrorInfo
    stage: str | None = None
    attempts: list[ev.ErrorInfo] = []


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An input nobody has waited for yet."""

    n: int
    input_type: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands and why, as of event `n` at `since`. `paused_by`: the event that paused it, or `start`;
    `reason`: what was said when it was paused or stopped; `kept`: inputs nobody has waited for yet; `due`: an engine
    would go on at once."""

    session: str
    n: int
    status: str
    since: str
    paused_by: str | None
    due: bool
    waiting: list[Waiting]
    kept: list[Kept]
    failure: Failure | None
    choices: list[Choice]
    ended_at: str | None
    result: Any
    artifacts: dict[str, Any]
    reason: str | None


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
