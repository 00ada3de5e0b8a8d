"""evolve(state, event): what each event changes. Never fails on an event that `decide` made; knows no time but `at`.

`TRANSITIONS` is the fold as a table, one function for each event type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stageflow_es.session import events as ev
from stageflow_es.session import evolve_inputs as inputs
from stageflow_es.session import evolve_nodes as nodes
from stageflow_es.session import evolve_session as session
from stageflow_es.session import evolve_stages as stages
from stageflow_es.session import fork
from stageflow_es.session.state import State, keep_recent


def evolve(state: State, event: ev.Event) -> None:
    """Fold one event into the state."""
    kind = type(event)
    state.n = event.n
    state.updated_at = event.at
    state.refusal = None
    if type(event.cause) is int:
        _remember_command(state, event)
    touched = state.touched
    if touched is not None and kind in _OF_NODES:
        node_event: Any = event
        touched[node_event.scope] = None
    TRANSITIONS[kind](state, event)


def _remember_command(state: State, event: Any) -> None:
    state.last_command = event.cause
    if event.command_id is not None:
        keep_recent(state.recent, event.command_id)


TRANSITIONS: dict[type[ev.Event], Callable[[State, Any], None]] = {
    ev.SessionStarted: fork.started,
    ev.SessionPaused: session.paused,
    ev.SessionResumed: session.resumed,
    ev.SessionStopped: session.stopped,
    ev.SessionTerminated: session.terminated,
    ev.SessionCompleted: session.completed,
    ev.SessionFailed: session.failed,
    ev.SessionRetried: session.retried,
    ev.CommandRejected: session.command_rejected,
    ev.SessionArchived: session.archived,
    ev.StageCompleted: stages.stage_completed,
    ev.StageFailed: stages.stage_failed,
    ev.StageTimeout: stages.stage_failed,
    ev.StageInterrupted: stages.stage_interrupted,
    ev.StageSkipped: stages.stage_skipped,
    ev.SkipDenied: stages.skip_denied,
    ev.StageEvent: stages.stage_event,
    ev.StepCompleted: stages.step_completed,
    ev.TimerSet: stages.timer_set,
    ev.TimerFired: stages.timer_fired,
    ev.WaitingForInput: inputs.waiting_for_input,
    ev.UserInput: inputs.user_input,
    ev.InputRejected: inputs.input_rejected,
    ev.InputTimeout: inputs.input_timeout,
    ev.ConditionEvaluated: nodes.condition_evaluated,
    ev.ParallelStarted: nodes.parallel_started,
    ev.BranchCompleted: nodes.branch_completed,
    ev.ParallelCompleted: nodes.parallel_completed,
    ev.MapStarted: nodes.map_started,
    ev.IterationCompleted: nodes.iteration_completed,
    ev.MapCompleted: nodes.map_completed,
    ev.SubpipelineStarted: nodes.subpipeline_started,
    ev.SubpipelineCompleted: nodes.subpipeline_completed,
}
"""The fold as a table; a test holds it total over `AnyEvent`."""

_OF_NODES = frozenset(kind for kind in TRANSITIONS if issubclass(kind, ev.NodeEvent))
