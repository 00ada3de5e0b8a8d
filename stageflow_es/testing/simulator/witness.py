"""What must hold while a run goes on. The witness sees every event as it is stored, and folds it on its own.

The first thing that does not hold is `broken`; a run ends there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec

from stageflow_es.engine.ports import Checkpoint, CommandKind, Fire, StoredEvent
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State, apply
from stageflow_es.session import events as ev
from stageflow_es.session.commands import RunId
from stageflow_es.session.snapshot import dump
from stageflow_es.session.state import Run
from stageflow_es.testing.simulator.loop import Process, VirtualLoop
from stageflow_es.testing.simulator.server import Server, at_once
from stageflow_es.testing.simulator.trace import Trace


class Sent(msgspec.Struct, frozen=True):
    """A command the bus accepted."""

    seq: int
    session: str
    kind: CommandKind
    id: str | None


class Witness:
    """Watches one server. `states`: the fold of every session's log; `sent`: the accepted commands by sequence."""

    def __init__(self, server: Server, loop: VirtualLoop, trace: Trace) -> None:
        self.broken: str | None = None
        self.states: dict[str, State] = {}
        self.sent: dict[int, Sent] = {}
        self.events = 0
        self._server = server
        self._loop = loop
        self._trace = trace
        self._known: defaultdict[Process, dict[str, int]] = defaultdict(dict)
        self._over: dict[tuple[str, str], int] = {}
        self._stepped: dict[tuple[str, str, str], int] = {}
        self._taken: set[int] = set()
        self._fires: dict[int, Fire] = {}
        self._floors: defaultdict[int, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._partitions: dict[int, list[int]] = defaultdict(list)
        self._fire_partitions: dict[int, list[int]] = defaultdict(list)
        server.bus.events.subscribe(self._stored)

    def break_(self, what: str) -> None:
        """Something does not hold."""
        if self.broken is None:
            self.broken = what
            self._trace.add(self._loop.now, "witness", f"BROKEN: {what}")

    # --- the log of events ---

    def _stored(self, session: str, stored: StoredEvent) -> None:
        self.events += 1
        state = self.states.get(session)
        try:
            if state is None:
                state = self.states[session] = State(session, self._pipeline(stored.data))
            refusal, outcome = state.refusal, state.outcome
            event = apply(state, stored.data, stored.seq)
        except Exception as error:
            self.break_(f"session {session}: an event cannot be folded: {error!r}: {stored.data[:300]!r}")
            return
        self._trace.add(self._loop.now, "log", f"{session} {event.n} {type(event).__name__} {event.cause} {event.by}")
        if refusal is not None and refusal.command_seq not in self._server.bus.commands.rejections:
            self.break_(f"session {session}, event {event.n}: command {refusal.command_seq} was refused before, unsaid")
        if outcome and not isinstance(event, (ev.SessionRetried, ev.CommandRejected, ev.SkipDenied)):
            self.break_(f"session {session}, event {event.n}: {type(event).__name__} after it was {outcome}")
        self._index(session, event, stored.seq)

    def _pipeline(self, first: bytes) -> Pipeline:
        digest = msgspec.json.decode(first)["digest"]
        data = at_once(self._server.bus.definitions.get(digest))
        if data is None:
            raise LookupError(f"definition {digest} is not stored")
        return Pipeline.trusted(data)

    def _index(self, session: str, event: ev.AnyEvent, seq: int) -> None:
        match event:
            case ev.StageCompleted() | ev.StageFailed():
                run = session, str(event.cause)
                if run in self._over:
                    self.break_(f"session {session}, event {event.n}: run {event.cause} ended twice")
                self._over[run] = seq
            case ev.UserInput(cause=int(command)):
                self._taken.add(command)
            case ev.StepCompleted():
                step = session, event.scope, event.key
                self._stepped[step] = seq

    def learned(self, process: Process, session: str, seq: int) -> None:
        """A process was told of a session's events up to a stream sequence."""
        known = self._known[process]
        known[session] = max(seq, known.get(session, 0))

    # --- stages ---

    def begins(self, process: Process, session: str, run: RunId) -> int:
        """A run begins in a process; what that process knows of the session."""
        known = self._known[process].get(session, 0)
        self._trace.add(self._loop.now, process.name, f"runs {run} of {session}")
        over = self._over.get((session, str(run)))
        if over is not None and over <= known:
            self.break_(f"session {session}: run {run} begins again, though {process.name} knows that it is over")
        return known

    def steps(self, known: int, session: str, run: RunId, key: str) -> None:
        """A run calls a step's function; `known`: what its process knew when the run began."""
        live = self.states[session].runs.get(run.scope)
        recorded = self._stepped.get((session, run.scope, key), 0)
        if live is not None and live.id(run.scope) == run and key in live.records and 0 < recorded <= known:
            self.break_(f"session {session}: {key} of {run} runs again, though it was recorded before the run began")

    # --- commands, floors ---

    def accepted(self, sent: Sent) -> None:
        """The bus accepted a command."""
        self.sent[sent.seq] = sent
        self._partitions[self._server.bus.partition(sent.session)].append(sent.seq)
        self._trace.add(self._loop.now, "command", f"{sent.seq} {sent.kind} {sent.session} {sent.id}")

    def fired(self, partition: int, fires: Sequence[Fire]) -> None:
        """A reader came upon these fires."""
        for fire in fires:
            if fire.seq not in self._fires:
                self._fires[fire.seq] = fire
                self._fire_partitions[partition].append(fire.seq)

    def saved(self, partition: int, checkpoint: Checkpoint) -> None:
        """A checkpoint was written: its floors must be over what is durable, and they only rise."""
        commands, fires = self._floors[partition]
        if checkpoint.commands < commands or checkpoint.fires < fires:
            self.break_(f"partition {partition}: its floors fell from {commands}/{fires}")
        self._floors[partition] = checkpoint.commands, checkpoint.fires
        for seq in self._partitions[partition]:
            if commands < seq <= checkpoint.commands and (why := self.unsettled(self.sent[seq])):
                self.break_(f"partition {partition}: its floor {checkpoint.commands} is above command {seq}: {why}")
        for seq in self._fire_partitions[partition]:
            if fires < seq <= checkpoint.fires and self._open(self._fires[seq]):
                self.break_(f"partition {partition}: its floor {checkpoint.fires} is above fire {seq}, not recorded")
        for session, state in self.states.items():
            if session not in checkpoint.sessions and self._forgotten(partition, checkpoint, state):
                self.break_(f"partition {partition}: its checkpoint forgets session {session}, which has work to do")

    def purges(self, partition: int, upto: int) -> None:
        """A purge of commands is executed."""
        if upto > self._floors[partition][0]:
            self.break_(
                f"partition {partition}: commands purged up to {upto}, its floor is {self._floors[partition][0]}"
            )

    def _forgotten(self, partition: int, checkpoint: Checkpoint, state: State) -> bool:
        """Whether a session that is not listed has work outstanding, and nothing is above the floors, or set, to wake
        it."""
        if self._server.bus.partition(state.session) != partition or not self._outstanding(state):
            return False
        if self._server.bus.timers.pending(state.session):
            return False
        commands = [seq for seq in self._partitions[partition] if self.sent[seq].session == state.session]
        fires = [seq for seq in self._fire_partitions[partition] if self._fires[seq].session == state.session]
        return max(commands) <= checkpoint.commands and max(fires, default=0) <= checkpoint.fires

    def _outstanding(self, state: State) -> bool:
        refusal = state.refusal
        if refusal is not None and refusal.command_seq not in self._server.bus.commands.rejections:
            return True
        return state.stirring() or (state.active and any(not run.blocked for run in state.runs.values()))

    def _open(self, fire: Fire) -> bool:
        state = self.states.get(fire.session)
        return state is not None and fire.timer in state.timers and not state.outcome

    def unsettled(self, sent: Sent) -> str | None:
        """Why a command is not dealt with for good, or None."""
        state = self.states.get(sent.session)
        rejected = sent.seq in self._server.bus.commands.rejections
        if state is None or (state.n and self._started(sent.session) > sent.seq):
            return None if rejected else "its session does not exist, and it was not rejected"
        if state.last_command >= sent.seq:
            if sent.seq in self._taken:
                return None
            if state.refusal is not None and state.refusal.command_seq == sent.seq and not rejected:
                return "it was refused, and its rejection is not published"
            return None
        if sent.id is not None and (sent.id == state.start_id or sent.id in state.recent):
            return None
        return "nothing of it is in the log"

    def existed(self, sent: Sent) -> bool:
        """Whether the session had been started when the command came."""
        return sent.session in self.states and self._started(sent.session) < sent.seq

    def repeated(self, sent: Sent) -> bool:
        """Whether an earlier command to the session had the same id."""
        return sent.id is not None and any(
            other.id == sent.id and other.seq < sent.seq and other.session == sent.session
            for other in self.sent.values()
        )

    def last_command(self, partition: int) -> int:
        """The last command the bus accepted in a partition."""
        return max(self._partitions[partition], default=0)

    def _started(self, session: str) -> int:
        first = at_once(self._server.bus.events.read(session))[0]
        return int(msgspec.json.decode(first.data)["cause"])

    # --- actors ---

    def compares(self, process: Process, state: State) -> None:
        """A state in some engine's memory, with nothing being appended, must be the fold of the log so far."""
        if state.n == 0:
            return
        here = self.states.get(state.session)
        if here is None or here.n < state.n:
            self.break_(f"session {state.session}: {process.name} believes in {state.n} events that are not in the log")
        elif here.n == state.n and dump(here) != dump(state):
            self.break_(f"session {state.session}: what {process.name} holds is not the fold of the log at {state.n}")


def stranded(state: State, at_work: bool) -> str | None:
    """Why a session that nothing happens to any more should not be at rest, or None. `at_work`: some engine has its
    runs in memory."""
    if not state.active:
        return None
    if state.stirring():
        return "an internal transition is due"
    if state.timers:
        return f"timers {list(state.timers)} never fired"
    idle = [path for path, run in state.runs.items() if not run.blocked]
    if idle and not at_work:
        return f"the stages in {idle} are not running"
    lost = [path for path, run in state.runs.items() if run.blocked and not _waits(run)]
    if lost:
        return f"the stages in {lost} wait for nothing"
    if not state.runs:
        return "nothing can ever happen to it"
    return None


def _waits(run: Run) -> bool:
    return run.retry_timer is not None or any(record.open and record.alone for record in run.records.values())
