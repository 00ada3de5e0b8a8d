"""Deciding the reports of stage runs: completed, failed, interrupted, emitted, stepped, asleep.

A report counts only while its run is the one in progress: a run that was cancelled, retried or repeated elsewhere has
nothing to say any more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, assert_never

from stageflow_es.pipeline import StageNode
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.state import Run, Scope, State
from stageflow_es.session.transitions import stamp, unwritable

MAX_DELAY = 366 * 24 * 3600.0
"""Longest delay before a retry, in seconds: a backoff stops growing there."""

MAX_SECONDS = 100 * MAX_DELAY
"""Longest timer, so that its end is still a date."""

Report = cmd.CompleteStage | cmd.FailStage | cmd.InterruptStage | cmd.EmitEvent | cmd.RecordStep | cmd.StartSleep


def live_run(state: State, run: cmd.RunId) -> Run | None:
    """The run in progress that `run` names, or None when it is over or waits for its retry."""
    live = state.runs.get(run.scope)
    if live is None or live.visit != run.visit or live.attempt != run.attempt or live.retry_timer is not None:
        return None
    return live


def due_at(at: str, seconds: float) -> str:
    """The time `seconds` after `at`, both RFC 3339."""
    moment = datetime.fromisoformat(at) + timedelta(seconds=min(max(seconds, 0.0), MAX_SECONDS))
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def decide_report(state: State, command: Report) -> ev.Event | None:
    """The event a report leads to, or None when its run is over or has said so already."""
    run = live_run(state, command.run)
    if run is None:
        return None
    scope = state.scopes[command.run.scope]
    node = scope.pipeline.stage_nodes[run.node]
    match command:
        case cmd.CompleteStage():
            return _complete(state, scope, command, run, node)
        case cmd.FailStage():
            return _fail(state, command, run, node)
        case cmd.InterruptStage():
            return _interrupt(state, command, run, node)
        case cmd.EmitEvent() | cmd.RecordStep() | cmd.StartSleep():
            return None if command.key in run.records else _record(state, command, run)
        case _:
            assert_never(command)


def _envelope(state: State, command: cmd.RunReport, run: Run) -> dict[str, Any]:
    return stamp(state, command, command.run.cause(), scope=command.run.scope, node=run.node)


def _complete(state: State, scope: Scope, command: cmd.CompleteStage, run: Run, node: StageNode) -> ev.Event:
    problem = unwritable(scope.frame, command.writes)
    if problem is not None:
        failure = cmd.FailStage(at=command.at, by=command.by, run=command.run, error_type="PathError", message=problem)
        return _fail(state, failure, run, node)
    return ev.StageCompleted(
        session=state.session,
        n=state.n + 1,
        at=command.at,
        by=command.by,
        cause=command.run.cause(),
        prev=state.head,
        scope=scope.path,
        node=run.node,
        stage=node.stage,
        attempt=run.attempt,
        writes=command.writes,
        next=node.next,
    )


def _fail(state: State, command: cmd.FailStage, run: Run, node: StageNode) -> ev.Event:
    error = ev.ErrorInfo(
        type=command.error_type,
        message=command.message,
        node=node.id,
        scope=command.run.scope,
        attempt=run.attempt,
    )
    fields = {
        **_envelope(state, command, run),
        "stage": node.stage,
        "attempt": run.attempt,
        "error": error,
    }
    if run.failures < command.retries:
        fields["retry"] = True
        delay = retry_delay(command, run.failures)
        if delay > 0:
            fields["timer"] = f"t{state.n + 1}"
            fields["due"] = due_at(command.at, delay)
    else:
        fields["next"] = node.fallback
    return ev.StageTimeout(**fields) if command.timed_out else ev.StageFailed(**fields)


def retry_delay(command: cmd.FailStage, failures: int) -> float:
    """Seconds before the next attempt, after `failures` earlier ones: the delay grows by the backoff each time."""
    try:
        return min(command.delay * command.backoff**failures, MAX_DELAY)
    except OverflowError:
        return MAX_DELAY


def _interrupt(state: State, command: cmd.InterruptStage, run: Run, node: StageNode) -> ev.Event | None:
    if run.interruptions != command.known:
        return None
    if run.interruptions >= command.limit:
        message = f"the engine running it died {run.interruptions + 1} times: the stage may be what kills it"
        failure = cmd.FailStage(
            at=command.at, by=command.by, run=command.run, error_type="StageInterrupted", message=message
        )
        return _fail(state, failure, run, node)
    return ev.StageInterrupted(**_envelope(state, command, run), attempt=run.attempt, count=run.interruptions + 1)


def _record(state: State, command: cmd.EmitEvent | cmd.RecordStep | cmd.StartSleep, run: Run) -> ev.Event:
    envelope = {**_envelope(state, command, run), "key": command.key}
    match command:
        case cmd.EmitEvent():
            return ev.StageEvent(**envelope, name=command.name, payload=command.payload)
        case cmd.RecordStep():
            return ev.StepCompleted(**envelope, name=command.name, value=command.value)
        case cmd.StartSleep():
            due = due_at(command.at, command.seconds)
            return ev.TimerSet(
                **envelope, timer=f"t{state.n + 1}", due=due, seconds=command.seconds, alone=command.alone
            )
        case _:
            assert_never(command)
