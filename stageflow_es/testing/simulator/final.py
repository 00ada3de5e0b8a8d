"""What must have come of everything once it is at rest: no session stranded, no command lost, every history sound."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from stageflow_es.engine.actor import Actor
from stageflow_es.session import State, apply
from stageflow_es.session import events as ev
from stageflow_es.session.snapshot import dump, load
from stageflow_es.session.verify import Broken, verify
from stageflow_es.stages import BaseStage
from stageflow_es.testing.simulator.history import HistoryRules
from stageflow_es.testing.simulator.server import Server, at_once
from stageflow_es.testing.simulator.witness import Witness, stranded

REFUSALS = (ev.CommandRejected, ev.SkipDenied, ev.InputRejected)


class Final:
    """The problems of a server at rest; `at_work`: the actors of the sessions that are in some engine's memory."""

    def __init__(
        self,
        server: Server,
        witness: Witness,
        stages: Mapping[str, type[BaseStage]],
        at_work: Mapping[str, Sequence[Actor]],
    ) -> None:
        self._server = server
        self._witness = witness
        self._stages = stages
        self._at_work = at_work
        self._histories: dict[str, list[ev.AnyEvent]] = {}

    def __iter__(self) -> Iterator[str]:
        for session, state in self._witness.states.items():
            stored = at_once(self._server.bus.events.read(session))
            self._histories[session] = [ev.decode(event.data) for event in stored]
            yield from self._of_session(session, state, [(event.data, event.seq) for event in stored])
        yield from self._of_commands()

    def _of_session(self, session: str, state: State, stored: list[tuple[bytes, int]]) -> Iterator[str]:
        problem = stranded(state, session in self._at_work)
        if problem:
            yield f"session {session} is stranded: {problem}"
        for actor in self._at_work.get(session, ()):
            yield from (f"session {session} is stranded: {text}" for text in _overlooked(state, actor))
        yield from (f"session {session}, {text}" for text in self._replayed(state, stored))
        verdict = verify(state.pipeline, [data for data, _ in stored], session=session, head=state.head, count=state.n)
        if isinstance(verdict, Broken):
            yield f"session {session} cannot be verified: event {verdict.n}: {verdict.message}"
        rules = HistoryRules(state.pipeline.raw, self._stages)
        for data, _ in stored:
            yield from (f"session {session}, event {text}" for text in rules.check(data))

    def _replayed(self, state: State, stored: list[tuple[bytes, int]]) -> Iterator[str]:
        """The live fold, a replay from zero, and a replay from a snapshot on the way must be one."""
        whole = dump(state)
        half = State(state.session, state.pipeline)
        for data, seq in stored[: len(stored) // 2]:
            apply(half, data, seq)
        for start in (State(state.session, state.pipeline), load(dump(half), state.pipeline)):
            n = start.n
            for data, seq in stored[n:]:
                apply(start, data, seq)
            if dump(start) != whole:
                yield f"replayed from {n}: another state than the one lived through"

    def _of_commands(self) -> Iterator[str]:
        rejected = self._server.bus.commands.rejections
        refused: set[int] = set()
        applied: dict[int, str] = {}
        for session, history in self._histories.items():
            causes = [event.cause for event in history if isinstance(event.cause, int)]
            if any(later <= earlier for earlier, later in pairwise(causes)):
                yield f"session {session}: commands out of order or applied twice: {causes}"
            applied.update(dict.fromkeys(causes, session))
            for event in history:
                if isinstance(event, ev.InputRejected):
                    refused.add(event.command_seq)
                elif isinstance(event, REFUSALS):
                    assert isinstance(event.cause, int)
                    refused.add(event.cause)
        for seq, sent in self._witness.sent.items():
            if why := self._witness.unsettled(sent):
                yield f"command {seq} ({sent.kind} to {sent.session}) was lost: {why}"
            if seq in applied and applied[seq] != sent.session:
                yield f"command {seq} was for {sent.session} and applied to {applied[seq]}"
            if seq in applied and (seq in refused) != (seq in rejected):
                yield f"command {seq}: " + ("refused, and nobody told" if seq in refused else "applied and rejected")
            if seq not in applied and seq in rejected and self._witness.existed(sent):
                yield f"command {seq} was rejected without an event, though session {sent.session} existed"
            if seq not in applied and seq not in rejected and not self._witness.repeated(sent):
                yield f"command {seq} ({sent.kind} to {sent.session}) left nothing, and is no repetition"


def _overlooked(state: State, actor: Actor) -> Iterator[str]:
    """The calls some stage in memory still waits in, though what they wait for has come."""
    if not state.active:
        return
    for path, worker in actor.workers._runs.items():
        run = state.runs.get(path)
        if run is not None and run.id(path) == worker.id:
            closed = [key for key in worker.waiting if key in run.records and not run.records[key].open]
            yield from (f"{worker.id} still waits in {key!r}, which is over" for key in closed)
