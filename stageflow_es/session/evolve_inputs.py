"""What inputs and waits change: who waits, what is kept, what was taken."""

from __future__ import annotations

from typing import Any

from stageflow_es.session import cursor
from stageflow_es.session import events as ev
from stageflow_es.session.state import BufferedInput, Record, Refusal, State, Timer, Wait, keep_recent


def waiting_for_input(state: State, event: ev.WaitingForInput) -> None:
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


def user_input(state: State, event: ev.UserInput) -> None:
    value = {"type": event.input_type, "payload": event.payload}
    keep_recent(state.input_history, value)
    for wait_id in event.waits:
        wait = state.waits[wait_id]
        state.touch(wait.scope)
        run = state.runs[wait.scope]
        cursor.settle(state, run, run.records[wait.key], value)
    if not event.waits:
        seq = event.cause if isinstance(event.cause, int) else 0
        item = BufferedInput(n=event.n, seq=seq, payload=event.payload)
        state.inputs.setdefault(event.input_type, []).append(item)


def input_rejected(state: State, event: ev.InputRejected) -> None:
    if event.buffered is not None:
        _take(state, event.input_type, event.buffered)
    command = {"type": event.input_type, "payload": event.payload}
    state.refusal = Refusal(command_seq=event.command_seq, problems=tuple(event.problems), command=command)


def input_timeout(state: State, event: ev.InputTimeout) -> None:
    wait = state.waits[event.wait]
    run = state.runs[wait.scope]
    cursor.settle(state, run, run.records[wait.key])
