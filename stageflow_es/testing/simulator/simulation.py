"""One run: engines that start, suffer and die while commands come in; then calm; then everything must have come right.

The faults stop, all that stands still goes on, and in half of the runs every engine is replaced, so that what only
memory knew is gone. Whatever still waits then is answered, a few times over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from itertools import chain
from random import Random

import msgspec

from stageflow_es.engine.actor import Actor
from stageflow_es.pipeline import canonical
from stageflow_es.session import events as ev
from stageflow_es.testing.simulator.final import Final
from stageflow_es.testing.simulator.hush import hushed
from stageflow_es.testing.simulator.loop import SECOND, VirtualLoop
from stageflow_es.testing.simulator.machines import Machines
from stageflow_es.testing.simulator.plan import Plan, Planned
from stageflow_es.testing.simulator.report import Report
from stageflow_es.testing.simulator.server import Server, at_once
from stageflow_es.testing.simulator.stagehand import Stagehand
from stageflow_es.testing.simulator.trace import Trace
from stageflow_es.testing.simulator.weather import Weather
from stageflow_es.testing.simulator.witness import Sent, Witness

Faults = Collection[str] | Mapping[str, float] | None

ROUNDS = 3
PATIENCE = 600.0
"""Virtual seconds after the faults in which everything must come to rest."""

STILL = 90.0
"""Virtual seconds without an event after which a run with stages that never rest counts as at rest."""


class Simulation:
    """`run` plays a plan once. Everything random comes from `seed`, each use from a stream of its own."""

    def __init__(self, seed: int, plan: Plan, faults: Faults = None, *, whole: bool = False) -> None:
        self.seed = seed
        self.trace = Trace(whole=whole)
        self.loop = VirtualLoop(self._stream("turns"))  # type: ignore[abstract]  # what it lacks, nobody may use
        self.weather = Weather(self._stream("weather"), faults)
        self.random = self._stream("disasters")
        self.server = Server(self.loop, self.random.randint(1, 3))
        self.witness = Witness(self.server, self.loop, self.trace)
        self._plan = plan
        hand = Stagehand(self.witness, self.weather, self._stream("stages"))
        self._stages = {name: hand.dress(stage) for name, stage in plan.stages.items()}
        self._machines = Machines(self, self._stages, self._stream("network"))

    def _stream(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def run(self) -> Report:
        self.loop.check_alone()
        with hushed(self._log, self.witness.break_):
            self._register()
            for planned in self._plan.commands:
                self._send(planned)
            for _ in range(1 + self.weather.strikes("second_engine", 0.8) + self.weather.strikes("second_engine", 0.3)):
                self._machines.start()
            self.loop.after(0.5, self._disaster)
            self._pass_time(self.random.uniform(15, 60))
            self._calm()
            self._settle()
            for number in range(ROUNDS):
                if not self._answer_what_waits(number):
                    break
                self._settle()
            self._judge()
            self._machines.end()
        return self._report()

    def _disaster(self) -> None:
        if self.weather.over:
            return
        self._inspect()
        self.loop.after(self.random.uniform(0.2, 3), self._disaster)
        self._machines.strike()

    # --- commands ---

    def _register(self) -> None:
        definitions = self.server.bus.definitions
        for name, document in self._plan.definitions.items():
            at_once(definitions.name(name, at_once(definitions.put(canonical(document)))))

    def _send(self, planned: Planned) -> None:
        at = planned.at
        if self.weather.strikes("late_command", 0.1):
            at += self.random.uniform(1, 25)
        self._deliver(planned, at)
        if planned.id is None:
            return
        if self.weather.strikes("duplicate_command", 0.15):
            self._deliver(planned, at + self.random.uniform(0, 15))
        if self.weather.strikes("lost_command_answer", 0.1):
            self._deliver(planned, at + self.random.uniform(0.05, 3))

    def _deliver(self, planned: Planned, at: float) -> None:
        self.loop.after(at, self._publish, planned)

    def _publish(self, planned: Planned) -> None:
        work = self.server.bus.publish(planned.kind, planned.session, planned.data, planned.id)
        self.witness.accepted(Sent(at_once(work), planned.session, planned.kind, planned.id))
        self.server.ring("commands")

    # --- calm ---

    def _pass_time(self, seconds: float) -> None:
        self.loop.run_until(lambda: self.witness.broken is not None, seconds)

    def _calm(self) -> None:
        """No more faults."""
        self.trace.add(self.loop.now, "world", "the faults stop")
        self.weather.over = True
        self._machines.calm()

    def _settle(self) -> None:
        """Let time pass until nothing is left to do."""
        end = self.loop.now + PATIENCE * SECOND
        events, since = self.witness.events, self.loop.now
        while self.witness.broken is None:
            self._pass_time(1)
            self._inspect()
            if self.witness.events != events:
                events, since = self.witness.events, self.loop.now
            rest = self._at_rest()
            if rest is None or (rest == "stages" and self.loop.now - since > STILL * SECOND):
                return
            if self.loop.now > end:
                self.witness.break_(f"no rest {PATIENCE:.0f} s after the faults stopped: {rest}")

    def _at_rest(self) -> str | None:
        """What is still going on, or None."""
        if self.loop.errands or self.server.bus.next_due() is not None:
            return "something is under way"
        held: set[int] = set()
        stages = False
        for number, partition in self._machines.partitions():
            floors = partition.checkpointing
            if not partition.serving.is_set() or floors.commands.floor < self.witness.last_command(number):
                return f"partition {number} has commands to read"
            if floors.fires.floor < self.server.last_fire(number):
                return f"partition {number} has fires to read"
            if partition.host.turns:
                return f"partition {number} has sessions that wait for their turn"
            held.add(number)
            for actor in partition.host.actors.values():
                if actor.working or not actor.workers.occupied:
                    return f"session {actor.session} is at work"
                stages = True
        if len(held) < self.server.bus.partitions:
            return "not every partition is held"
        return "stages" if stages else None

    def _answer_what_waits(self, number: int) -> bool:
        """Send an input to every wait, and resume and retry what stands; False: there was nothing to do."""
        sent = False
        for session, state in self.witness.states.items():
            bodies: list[tuple[str, dict[str, object]]] = []
            if state.paused and not state.outcome:
                bodies.append(("control", {"action": "resume"}))
            elif state.outcome == "failed" and number == 0 and self._plan.definitions:
                bodies.append(("control", {"action": "retry"}))
            for type_, payload in self._plan.inputs:
                if type_ in state.waiting_for():
                    bodies.append(("input", {"type": type_, "payload": payload}))
            for kind, body in bodies:
                sent = True
                data = msgspec.json.encode(body)
                self._publish(Planned(at=0, kind=kind, session=session, data=data))  # type: ignore[arg-type]
        return sent

    # --- looking ---

    def _inspect(self) -> None:
        """Compare what is in the engines' memory to the log, every second."""
        for process, actor in self._machines.actors():
            if actor.state is not None and not actor.appending:
                self.witness.compares(process, actor.state)

    def _judge(self) -> None:
        self._inspect()
        if self.witness.broken is not None:
            return
        at_work: defaultdict[str, list[Actor]] = defaultdict(list)
        for _, actor in self._machines.actors():
            at_work[actor.session].append(actor)
        try:
            problems = list(Final(self.server, self.witness, self._stages, at_work))
        except Exception as error:
            problems = [f"the histories cannot be gone through: {error!r}"]
        for problem in [*problems, *self.loop.problems]:
            self.witness.break_(problem)

    def _log(self, event: str, details: str) -> None:
        self.trace.add(self.loop.now, "says", f"{event} {details}")

    def _report(self) -> Report:
        log = self.server.bus.events
        histories = {name: [stored.data for stored in at_once(log.read(name))] for name in log.sessions()}
        types = Counter(type(ev.decode(data)).__struct_config__.tag for data in chain.from_iterable(histories.values()))
        return Report(
            seed=self.seed,
            broken=self.witness.broken,
            hash=self.trace.hash,
            lines=list(self.trace.lines),
            seconds=self.loop.now / SECOND,
            sessions=len(histories),
            events=self.witness.events,
            commands=len(self.witness.sent),
            steps=self.loop.steps,
            faults=dict(sorted(self.weather.counts.items())),
            outcomes=dict(sorted(Counter(state.status for state in self.witness.states.values()).items())),
            event_types=dict(sorted(types.items())),  # type: ignore[arg-type]
            histories=histories,
        )
