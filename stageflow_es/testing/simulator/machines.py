"""The engines of a run, each in a process of its own: how they come, what befalls them, and how they go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.actor import Actor
from stageflow_es.engine.partition import Partition
from stageflow_es.engine.watchdog import Watchdog
from stageflow_es.errors import OperatorError
from stageflow_es.stages import BaseStage
from stageflow_es.testing.simulator.loop import Process, VirtualLoop
from stageflow_es.testing.simulator.network import Line
from stageflow_es.testing.simulator.ports import SimulatedBus
from stageflow_es.testing.simulator.server import LEASE_TERM

if TYPE_CHECKING:
    from stageflow_es.testing.simulator.simulation import Simulation

MOST_ENGINES = 3


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


class Machines:
    """All machines of one run. One that dies is followed by another, until the run ends."""

    def __init__(self, simulation: Simulation, stages: Mapping[str, type[BaseStage]], network: Random) -> None:
        self._server = simulation.server
        self._witness = simulation.witness
        self._trace = simulation.trace
        self._loop = simulation.loop
        self._weather = simulation.weather
        self._random = simulation.random
        self._stages = stages
        self._network = network
        self._alive: dict[Process, Machine] = {}
        self._names = 0
        self._ended = False
        self._loop.on_death = self._died

    def partitions(self) -> Iterator[tuple[int, Partition]]:
        """Every partition an engine has in its hands, by its number."""
        for machine in self._alive.values():
            for number, holding in machine.engine._held.items():
                yield number, holding.partition

    def actors(self) -> Iterator[tuple[Process, Actor]]:
        """Every actor there is, with the process it is in."""
        for machine in self._alive.values():
            for holding in machine.engine._held.values():
                for actor in holding.partition.host.actors.values():
                    yield machine.process, actor

    # --- coming and going ---

    def start(self, name: str | None = None) -> None:
        """Start an engine, under a new name or one of before."""
        name = name or self._new_name()
        process = Process(
            name,
            rate=self._random.uniform(0.98, 1.02) if self._weather.strikes("clock_drift", 1) else 1.0,
            origin=self._random.uniform(0, 1000),
            skew=self._random.uniform(-5, 5) if self._weather.strikes("clock_skew", 1) else 0.0,
        )
        line = Line(process, self._loop, self._weather, self._network, self._trace)
        engine = Engine(
            SimulatedBus(line, self._server, self._witness),
            name=name,
            settings=self._settings(),
            stages=self._stages,
            clock=Clock(self._loop, process),
        )
        engine.watchdog = Unwatched(1)
        machine = self._alive[process] = Machine(process, line, engine)
        self._trace.add(self._loop.now, name, "starts")
        self._loop.spawn(process, self._serve(machine))

    def _new_name(self) -> str:
        self._names += 1
        return f"engine{self._names}"

    def _settings(self) -> EngineSettings:
        random = self._random
        snapshot_after = random.choice([0, 0, 5, 1000])
        if self._weather.strikes("small_limits", 0.5):
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
                self._witness.break_(f"{engine.name} stopped by itself: {error!r}")
            await self._stop(machine)

    def _replaced(self, engine: Engine) -> bool:
        """Whether another has joined under its name; it may be an earlier one's request that came late."""
        member = engine._member
        return member is not None and self._server.joined[member.name] > member.incarnation

    async def _stop(self, machine: Machine) -> None:
        await machine.engine.stop()
        if machine.process.alive:
            machine.process.doom = 0

    def _died(self, process: Process) -> None:
        machine = self._alive.pop(process)
        self._trace.add(self._loop.now, process.name, "is dead")
        run = machine.engine._task
        if run is not None and run.done() and not run.cancelled():
            run.exception()  # who would have asked for it died as well
        if self._ended or any(other.process.name == process.name for other in self._alive.values()):
            return
        name = self._new_name() if self._weather.strikes("restart_other_name", 0.5) else process.name
        if name == process.name:
            self._weather.happened("restart_same_name")
        delay = self._random.uniform(0.1, 8) if not self._weather.over else 0.1
        self._loop.after(delay, self.start, name)

    def calm(self) -> None:
        """Nothing befalls them any more. In half of the runs all are replaced."""
        replaced = self._random.random() < 0.5
        for machine in list(self._alive.values()):
            machine.process.doom = None
            self._mend(machine.line)
            self._thaw(machine.process)
            if replaced:
                self._loop.kill(machine.process)

    def end(self) -> None:
        """Kill them all, and let none follow."""
        self._ended = True
        for machine in list(self._alive.values()):
            self._loop.kill(machine.process)

    # --- disasters ---

    def strike(self) -> None:
        """Let something befall them, if the weather has it."""
        strikes = self._weather.strikes
        if strikes("lease_expired", 0.1):
            self._server.end_lease(self._random.randrange(self._server.bus.partitions))
        if len(self._alive) < MOST_ENGINES and strikes("second_engine", 0.05):
            self.start()
        if not self._alive:
            return
        machine = self._random.choice(list(self._alive.values()))
        if len(self._alive) < MOST_ENGINES and strikes("twin", 0.1):
            self.start(machine.process.name)
        self._befall(machine)

    def _befall(self, machine: Machine) -> None:
        strikes, uniform = self._weather.strikes, self._random.uniform
        if strikes("crash_any_time", 0.06):
            machine.process.doom = self._random.randrange(40)
        if strikes("freeze", 0.08):
            self._freeze(machine.process, uniform(0.05, LEASE_TERM * 0.9))
        elif strikes("zombie", 0.06):
            self._freeze(machine.process, uniform(LEASE_TERM * 1.1, 20))
        if strikes("outage", 0.06):
            machine.line.cut = True
            self._loop.after(uniform(0.5, 12), self._mend, machine.line)
        if strikes("lease_blind", 0.08):
            machine.line.blind = True
            self._loop.after(uniform(2, 15), self._mend, machine.line)
        if not machine.stopping and strikes("hand_over", 0.04):
            machine.stopping = True
            self._trace.add(self._loop.now, machine.process.name, "is asked to stop")
            self._loop.spawn(machine.process, self._stop(machine))

    def _freeze(self, process: Process, seconds: float) -> None:
        self._trace.add(self._loop.now, process.name, f"stands still for {seconds:.3f} s")
        process.frozen = True
        self._loop.after(seconds, self._thaw, process)

    def _thaw(self, process: Process) -> None:
        if process.frozen and process.alive:
            process.frozen = False
            self._trace.add(self._loop.now, process.name, "goes on")

    def _mend(self, line: Line) -> None:
        line.cut = line.blind = False
