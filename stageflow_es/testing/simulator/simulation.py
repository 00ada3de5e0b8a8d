"""One run: engines that start, suffer and die while commands come in; then calm; then everything must have come right.

The faults stop, all that stands still goes on, and in half of the runs every engine is replaced, so that what only
memory knew is gone. Whatever still waits then is answered, a few times over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import chain
from random import Random

import msgspec

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.actor import Actor
from stageflow_es.engine.watchdog import Watchdog
from stageflow_es.errors import OperatorError
from stageflow_es.pipeline import canonical
from stageflow_es.session import events as ev
from stageflow_es.testing.simulator.final import Final
from stageflow_es.testing.simulator.hush import hushed
from stageflow_es.testing.simulator.loop import SECOND, Process, VirtualLoop
from stageflow_es.testing.simulator.network import Line
from stageflow_es.testing.simulator.plan import Plan, Planned
from stageflow_es.testing.simulator.ports import SimulatedBus
from stageflow_es.testing.simulator.report import Report
from stageflow_es.testing.simulator.server import LEASE_TERM, Server, at_once
from stageflow_es.testing.simulator.stagehand import Stagehand
from stageflow_es.testing.simulator.trace import Trace
from stageflow_es.testing.simulator.weather import Weather
from stageflow_es.testing.simulator.witness import Sent, Witness

Faults = Collection[str] | Mapping[str, float] | None

MOST_ENGINES = 3
ROUNDS = 3
PATIENCE = 600.0
"""Virtual seconds after the faults in which everything must come to rest."""

STILL = 90.0
"""Virtual seconds without an event after which a run with stages that never rest counts as at rest."""


class Machine:
    """An engine in its process, with its line to the bus."""

    def __init__(self, process: Process, line: Line, engine: Engine) -> None:
        self.process = process
        self.line = line
        self.engine = engine
        self.stopping = False


class Unwatched(Watchdog):
    """No watchdog: it would watch the real time, in a thread."""

    def start(self) -> None: ...


class Clock:
    """A process's wall clock."""

    def __init__(self, loop: VirtualLoop, process: Process) -> None:
        self._loop = loop
        self._process = process

    def now(self) -> datetime:
        return self._loop.wall(self._process)


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
        self._network = self._stream("network")
        self._machines: dict[Process, Machine] = {}
        self._names = 0
        self._ended = False
        self.loop.on_death = self._died

    def _stream(self, name: str) -> Random:
        return Random(f"{self.seed}/{name}")

    def run(self) -> Report:
        self.loop.check_alone()
        with hushed(self._log, self.witness.break_):
            self._register()
            for planned in self._plan.commands:
                self._send(planned)
            for _ in range(1 + self.weather.strikes("second_engine", 0.8) + self.weather.strikes("second_engine", 0.3)):
                self._start(self._new_name())
            self.loop.after(0.5, self._disaster)
            self._pass_time(self.random.uniform(15, 60))
            self._calm()
            self._settle()
            for number in range(ROUNDS):
                if not self._answer_what_waits(number):
                    break
                self._settle()
            self._judge()
            self._ended = True
            for machine in list(self._machines.values()):
                self.loop.kill(machine.process)
        return self._report()

    # --- engines ---

    def _new_name(self) -> str:
        self._names += 1
        return f"engine{self._names}"

    def _start(self, name: str) -> None:
        process = Process(
            name,
            rate=self.random.uniform(0.98, 1.02) if self.weather.strikes("clock_drift", 1) else 1.0,
            origin=self.random.uniform(0, 1000),
            skew=self.random.uniform(-5, 5) if self.weather.strikes("clock_skew", 1) else 0.0,
        )
        line = Line(process, self.loop, self.weather, self._network, self.trace)
        engine = Engine(
            SimulatedBus(line, self.server, self.witness),
            name=name,
            settings=self._settings(),
            stages=self._stages,
            clock=Clock(self.loop, process),
        )
        engine.watchdog = Unwatched(1)
        machine = self._machines[process] = Machine(process, line, engine)
        self.trace.add(self.loop.now, name, "starts")
        self.loop.spawn(process, self._serve(machine))

    def _settings(self) -> EngineSettings:
        random = self.random
        snapshot_after = random.choice([0, 0, 5, 1000])
        if self.weather.strikes("small_limits", 0.5):
            return EngineSettings(
                snapshot_after=snapshot_after,
                max_running=random.randint(1, 2),
                park_after=0.05,
                max_waiting=random.randint(1, 2),
                list_limit=random.randint(1, 2),
                batch=random.randint(1, 3),
                append_limit=random.randint(1, 3),
                local_timers=0.01,
            )
        return EngineSettings(
            snapshot_after=snapshot_after,
            park_after=random.choice([0.2, 1.0, 5.0]),
            local_timers=random.choice([0.2, 1.0]),
        )

    async def _serve(self, machine: Machine) -> None:
        engine = machine.engine
        try:
            await engine.start()
            await engine.wait()
        except Exception as error:
            if not (isinstance(error, OperatorError) and self._replaced(engine)):
                self.witness.break_(f"{engine.name} stopped by itself: {error!r}")
            await self._stop(machine)

    def _replaced(self, engine: Engine) -> bool:
        """Whether another has joined under its name; it may be an earlier one's request that came late."""
        member = engine._member
        return member is not None and self.server.joined[member.name] > member.incarnation

    def _died(self, process: Process) -> None:
        machine = self._machines.pop(process)
        self.trace.add(self.loop.now, process.name, "is dead")
        run = machine.engine._task
        if run is not None and run.done() and not run.cancelled():
            run.exception()  # who would have asked for it died as well
        if self._ended or any(other.process.name == process.name for other in self._machines.values()):
            return
        name = self._new_name() if self.weather.strikes("restart_other_name", 0.5) else process.name
        if name == process.name:
            self.weather.happened("restart_same_name")
        delay = self.random.uniform(0.1, 8) if not self.weather.over else 0.1
        self.loop.after(delay, self._start, name)

    # --- disasters ---

    def _disaster(self) -> None:
        if self.weather.over:
            return
        self._inspect()
        self.loop.after(self.random.uniform(0.2, 3), self._disaster)
        strikes, uniform = self.weather.strikes, self.random.uniform
        if strikes("lease_expired", 0.1):
            self.server.end_lease(self.random.randrange(self.server.bus.partitions))
        if len(self._machines) < MOST_ENGINES and strikes("second_engine", 0.05):
            self._start(self._new_name())
        if not self._machines:
            return
        machine = self.random.choice(list(self._machines.values()))
        if len(self._machines) < MOST_ENGINES and strikes("twin", 0.1):
            self._start(machine.process.name)
        if strikes("crash_any_time", 0.06):
            machine.process.doom = self.random.randrange(40)
        if strikes("freeze", 0.08):
            self._freeze(machine.process, uniform(0.05, LEASE_TERM * 0.9))
        elif strikes("zombie", 0.06):
            self._freeze(machine.process, uniform(LEASE_TERM * 1.1, 20))
        if strikes("outage", 0.06):
            machine.line.cut = True
            self.loop.after(uniform(0.5, 12), self._mend, machine.line)
        if strikes("lease_blind", 0.08):
            machine.line.blind = True
            self.loop.after(uniform(2, 15), self._mend, machine.line)
        if not machine.stopping and strikes("hand_over", 0.04):
            machine.stopping = True
            self.trace.add(self.loop.now, machine.process.name, "is asked to stop")
            self.loop.spawn(machine.process, self._stop(machine))

    def _freeze(self, process: Process, seconds: float) -> None:
        self.trace.add(self.loop.now, process.name, f"stands still for {seconds:.3f} s")
        process.frozen = True
        self.loop.after(seconds, self._thaw, process)

    def _thaw(self, process: Process) -> None:
        if process.frozen and process.alive:
            process.frozen = False
            self.trace.add(self.loop.now, process.name, "goes on")

    def _mend(self, line: Line) -> None:
        line.cut = line.blind = False

    async def _stop(self, machine: Machine) -> None:
        await machine.engine.stop()
        if machine.process.alive:
            machine.process.doom = 0

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
        """No more faults. In half of the runs all engines are replaced."""
        self.trace.add(self.loop.now, "world", "the faults stop")
        self.weather.over = True
        replaced = self.random.random() < 0.5
        for machine in list(self._machines.values()):
            machine.process.doom = None
            self._mend(machine.line)
            self._thaw(machine.process)
            if replaced:
                self.loop.kill(machine.process)

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
        for machine in self._machines.values():
            for number, holding in machine.engine._held.items():
                partition, floors = holding.partition, holding.partition.checkpointing
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
        for machine in self._machines.values():
            for holding in machine.engine._held.values():
                for actor in holding.partition.host.actors.values():
                    if actor.state is not None and not actor.appending:
                        self.witness.compares(machine.process, actor.state)

    def _judge(self) -> None:
        self._inspect()
        if self.witness.broken is not None:
            return
        at_work: defaultdict[str, list[Actor]] = defaultdict(list)
        for machine in self._machines.values():
            for holding in machine.engine._held.values():
                for actor in holding.partition.host.actors.values():
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
