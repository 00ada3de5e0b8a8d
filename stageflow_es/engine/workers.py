"""The stage runs of one session: which of those the state wants are in memory, started, woken, parked or cancelled."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from stageflow_es.engine.inbox import ReportItem
from stageflow_es.engine.runner import StageRun
from stageflow_es.engine.stage_view import SessionView, StageContext
from stageflow_es.log import logger
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.state import Run
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from stageflow_es.engine.actor import Actor

log = logger(__name__)


class Workers:
    """Keeps the runs in memory equal to the runs the state has outstanding."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor
        self._runs: dict[str, StageRun] = {}
        self._suspects: dict[cmd.RunId, None] = {}
        self._idle: dict[str, None] = {}
        self._instances: dict[str, tuple[int, BaseStage]] = {}
        self._state: State | None = None
        self._active = False
        self._lapsed = False
        self._missing: dict[str, str] = {}

    @property
    def occupied(self) -> bool:
        """Whether a run is in memory."""
        return bool(self._runs)

    @property
    def owing(self) -> bool:
        """Whether a run may be outstanding that cannot be begun here just now, the lease having lapsed, the stage not
        being registered, or the session not being listed yet: it must not be let go of."""
        return self._lapsed or bool(self._missing) or (self._actor.unlisted and self._actor.placed)

    @property
    def lacking(self) -> frozenset[str]:
        """Stages that runs are to begin of, and that are not registered here."""
        return frozenset(self._missing.values())

    @property
    def suspecting(self) -> bool:
        """Whether a run may have been lost with an engine, which only this remembers."""
        return bool(self._suspects)

    @property
    def busy(self) -> bool:
        """Whether a run in memory does something."""
        return any(not run.resting for run in self._runs.values())

    def suspect(self, state: State) -> None:
        """These runs may have been lost with an engine: each is recorded as interrupted before it is repeated."""
        self._suspects = {run.id(path): None for path, run in state.runs.items() if not run.blocked}

    def drop_overtaken(self, state: State) -> None:
        """Cancel the runs that another engine has taken further, to where they rest."""
        for path, worker in list(self._runs.items()):
            if worker.overtaken(state):
                worker.cancel()
                del self._runs[path]

    def reconcile(self, state: State) -> bool:
        """Start, wake and cancel runs as the state has it; True when that left something to decide at once."""
        active = state.active
        self._lapsed = active and not self._actor.host.holds()
        for path in self._changed(state, active):
            self._follow(state, path, active)
        actor = self._actor
        if not (self._idle and active and not self._lapsed and (actor.placed or self._may_start())):
            return False
        if actor.unlisted:
            actor.host.list_first(actor)
            return False
        idle, self._idle = self._idle, {}
        interrupted = False
        for path in idle:
            interrupted = self._begin(state, path, state.runs[path]) or interrupted
        return interrupted

    def _changed(self, state: State, active: bool) -> Collection[str]:
        """The scopes whose runs may not be as the state has them: all, of a state not seen before."""
        touched = state.touched
        if state is not self._state or active != self._active:
            self._state, self._active = state, active
            self._idle.clear()
            touched = dict.fromkeys([*self._runs, *self._instances, *state.runs])
        elif not touched:
            return ()
        state.touched = {}
        return touched

    def _follow(self, state: State, path: str, active: bool) -> None:
        """Cancel, wake or note as idle what runs in one scope."""
        run = state.runs.get(path)
        worker = self._runs.get(path)
        if self._missing:
            self._missing.pop(path, None)
        if worker is not None and (state.outcome or run is None or run.id(path) != worker.id):
            worker.cancel()
            del self._runs[path]
            worker = None
        if run is None:
            self._instances.pop(path, None)
            self._idle.pop(path, None)
        elif self._lapsed:
            state.touch(path)
        elif worker is not None:
            worker.follow(run, active=active)
        elif not run.blocked:
            self._idle[path] = None

    def _may_start(self) -> bool:
        """Ask for a place, unless the session waits for one already."""
        actor = self._actor
        if actor.queued:
            return False
        actor.placed = actor.host.wants_place(actor)
        actor.queued = not actor.placed
        return actor.placed

    def _begin(self, state: State, path: str, run: Run) -> bool:
        """Start one run; True when it has to be recorded as interrupted first."""
        actor = self._actor
        if self._suspects and (run_id := run.id(path)) in self._suspects:
            del self._suspects[run_id]
            host = actor.host
            command = cmd.InterruptStage(
                at=host.at(),
                by=host.name,
                run=run_id,
                known=run.interruptions,
                limit=host.settings.interrupt_limit,
            )
            actor.post(ReportItem(command=command))
            self._idle[path] = None
            return True
        scope = state.scopes[path]
        node = scope.pipeline.stage_nodes[run.node]
        stage = actor.host.stages.get(node.stage)
        if stage is None:
            self._missing[path] = node.stage
            log.error(
                "stage_not_registered",
                session=actor.session,
                node=node.id,
                stage=node.stage,
                mend="start this engine with the module that has it",
            )
            return False
        session = SessionView(state.session, StageContext(actor, scope), actor, state, scope)
        worker = self._runs[path] = StageRun(actor, run.id(path), session, run, node, stage)
        if path in self._instances:
            visit, instance = self._instances.pop(path)
            worker.instance = instance if visit == run.visit else None
        try:
            worker.start()
        except Exception:  # ours: who reads the log again must find no run here that never began
            self._runs.pop(path, None)
            worker.cancel()
            raise
        return False

    def finished(self, worker: StageRun) -> None:
        """The run is over and has reported. Where another attempt may follow, it is the same object's, as in
        StageFlow."""
        path = worker.id.scope
        if self._runs.get(path) is worker:
            del self._runs[path]
            if worker.may_retry() and worker.instance is not None:
                self._instances[path] = worker.id.visit, worker.instance

    def hold_back(self, worker: StageRun) -> None:
        """The run must not begin, or go on: the lease has lapsed."""
        if self._runs.get(worker.id.scope) is worker:
            del self._runs[worker.id.scope]
            self._idle[worker.id.scope] = None

    def park(self, worker: StageRun) -> None:
        """Take a resting run out of memory; what it did is recorded and what it waits for wakes it anew."""
        if self._runs.get(worker.id.scope) is worker:
            del self._runs[worker.id.scope]
            worker.cancel()
            self._actor.poke()

    def let_go(self) -> None:
        """The actor is done with this."""
        del self._actor

    def close(self) -> None:
        for worker in self._runs.values():
            worker.cancel()
        self._runs.clear()
