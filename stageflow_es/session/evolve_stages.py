"""What the events of stage runs change: completions, failures, retries, records, timers."""

from __future__ import annotations

from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.state import Record, Refusal, State, Timer


def stage_completed(state: State, event: ev.StageCompleted) -> None:
    scope = state.scopes[event.scope]
    for path, value in event.writes.items():
        scope.frame.write(path, value)
    cursor.leave(state, scope)
    cursor.enter(state, scope, event.next, event.n)


def stage_failed(state: State, event: ev.StageFailed) -> None:
    scope = state.scopes[event.scope]
    run = state.runs[event.scope]
    if event.retry:
        cursor.close_calls(state, run)
        run.attempt += 1
        run.failures += 1
        run.records = cursor.steps_of(run)
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


def stage_interrupted(state: State, event: ev.StageInterrupted) -> None:
    state.runs[event.scope].interruptions += 1


def stage_skipped(state: State, event: ev.StageSkipped) -> None:
    scope = state.scopes[event.scope]
    cursor.leave(state, scope)
    cursor.enter(state, scope, event.next, event.n)


def skip_denied(state: State, event: ev.SkipDenied) -> None:
    assert isinstance(event.cause, int)
    command = {"action": "skip", "scope": event.scope}
    state.refusal = Refusal(command_seq=event.cause, problems=tuple(event.problems), command=command)


def stage_event(state: State, event: ev.StageEvent) -> None:
    state.runs[event.scope].records[event.key] = Record(kind="emit")


def step_completed(state: State, event: ev.StepCompleted) -> None:
    state.runs[event.scope].records[event.key] = Record(kind="step", value=event.value)


def timer_set(state: State, event: ev.TimerSet) -> None:
    run = state.runs[event.scope]
    record = Record(kind="sleep", open=True, alone=event.alone, timer=event.timer)
    cursor.open_call(state, run, event.key, record)
    state.timers[event.timer] = Timer(due=event.due, kind="sleep", scope=event.scope, key=event.key, n=event.n)


def timer_fired(state: State, event: ev.TimerFired) -> None:
    timer = state.timers.pop(event.timer)
    state.touch(timer.scope)
    run = state.runs[timer.scope]
    if timer.kind == "retry":
        run.retry_timer = None
        cursor.unblock(state, run)
    else:
        cursor.settle(state, run, run.records[timer.key])
