"""The stage runs of one session: which of those the state wants are in memory, started, woken, parked or cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from stageflow_es.engine.inbox import ReportItem
from stageflow_es.engine.runner import StageRun
from stageflow_es.pipeline import StageNode
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.state import Run
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

log = structlog.get_logger(__name__)


class Workers:
    """Keeps the runs in memory equal to the runs the state has outstanding."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._runs: dict[str, StageRun] = {}
        self._suspects: set[cmd.RunId] = set()
        self._missing: set[str] = set()
        self._instances: dict[str, tuple[int, BaseStage]] = {}
        self.owing = False
        """Whether a run is outstanding that cannot be begun here just now: the session must not be let go of."""

    @property
    def occupied(self) -> bool:
        """Whether a run is in memory."""
        return bool(self._runs)

    @property
    def busy(self) -> bool:
        """Whether a run in memory does something."""
        return any(not run.resting for run in self._runs.values())

    def suspect(self, state: State) -> None:
        """These runs may have been lost with an engine: each is recorded as interrupted before it is repeated."""
        self._suspects = {run.id(path) for path, run in state.runs.items() if not run.blocked}

    def reconcile(self, state: State) -> bool:
        """Start, wake and cancel runs as the state has it; True when that left something to decide at once."""
        self._cancel_lost(state)
        idle = [path for path in state.runs if path not in self._runs and not state.runs[path].blocked]
        self.owing = False
        if not state.active:
            return False
        if not self._actor.host.holds():
            self.owing = bool(idle)
            return False
        for path, worker in list(self._runs.items()):
            worker.wake(state.runs[path])
        startable = [path for path in idle if path not in self._missing]
        self.owing = len(startable) < len(idle)
        if not startable or not self._may_start():
            return False
        interrupted = False
        for path in startable:
            interrupted = self._begin(state, path, state.runs[path]) or interrupted
        return interrupted

    def _may_start(self) -> bool:
        actor = self._actor
        if actor.placed or actor.queued:
            return actor.placed
        if actor.host.wants_place(actor):
            actor.placed = True
            return True
        actor.queued = True
        return False

    def _cancel_lost(self, state: State) -> None:
        ended = bool(state.outcome)
        for path in [path for path in self._instances if path not in state.runs]:
            del self._instances[path]
        for path, worker in list(self._runs.items()):
            run = state.runs.get(path)
            if ended or run is None or run.id(path) != worker.id:
                worker.cancel()
                del self._runs[path]

    def _begin(self, state: State, path: str, run: Run) -> bool:
        """Start one run; True when it has to be recorded as interrupted first."""
        run_id = run.id(path)
        actor = self._actor
        if run_id in self._suspects:
            self._suspects.discard(run_id)
            host = actor.host
            command = cmd.InterruptStage(
                at=host.at(),
                by=host.name,
                run=run_id,
                known=run.interruptions,
                limit=host.settings.interrupt_limit,
            )
            actor.post(ReportItem(command, None))
            return True
        node = state.scopes[path].pipeline.node(run.node)
        assert isinstance(node, StageNode)
        stage = actor.host.stages.get(node.stage)
        if stage is None:
            self._missing.add(path)
            self.owing = True
            log.error("stage_not_registered", session=actor.session, node=node.id, stage=node.stage)
            return False
        visit, instance = self._instances.pop(path, (0, None))
        worker = StageRun(actor, state, path, run, node, stage, instance if visit == run.visit else None)
        self._runs[path] = worker
        worker.start()
        return False

    def finished(self, worker: StageRun) -> None:
        """The run is over and has reported. Where another attempt may follow, it is the same object's, as in
        StageFlow."""
        if self._runs.get(worker.id.scope) is worker:
            del self._runs[worker.id.scope]
            if worker.instance is not None and worker.may_retry:
                self._instances[worker.id.scope] = worker.id.visit, worker.instance

    def hold_back(self, worker: StageRun) -> None:
        """The run must not begin, or go on: the lease has lapsed."""
        if self._runs.get(worker.id.scope) is worker:
            del self._runs[worker.id.scope]

    def park(self, worker: StageRun) -> None:
        """Take a resting run out of memory; what it did is recorded and what it waits for wakes it anew."""
        if self._runs.get(worker.id.scope) is worker:
            del self._runs[worker.id.scope]
            worker.cancel()
            self._actor.poke()

    def close(self) -> None:
        for worker in self._runs.values():
            worker.cancel()
        self._runs.clear()
