"""The engine: a named member of the cluster that holds its fair share of the partitions and works on them.

Leases only spare work; what makes two engines on one partition harmless is the event log's expected sequence.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from stageflow_es.engine.clock import Clock, SystemClock
from stageflow_es.engine.definitions import Library
from stageflow_es.engine.failures import Failures
from stageflow_es.engine.intake import Intake
from stageflow_es.engine.loading import Loader
from stageflow_es.engine.partition import Partition
from stageflow_es.engine.places import Places
from stageflow_es.engine.ports import Bus, BusError, Member
from stageflow_es.engine.settings import EngineSettings
from stageflow_es.engine.shortcut import Shortcut
from stageflow_es.engine.vitals import LISTED, Vitals
from stageflow_es.engine.waiting_room import WaitingRoom
from stageflow_es.engine.watchdog import Watchdog
from stageflow_es.errors import OperatorError
from stageflow_es.log import logger
from stageflow_es.release import RELEASE
from stageflow_es.session import HISTORY_VERSION, State
from stageflow_es.stages import BaseStage, get_stages, spec_of

log = logger(__name__)

SAID_EVERY = 5.0
"""Seconds between two warnings of the same."""
STOP_PATIENCE = 3.0
"""Seconds a stop may take to hand over."""


class Engine:
    """Runs sessions of a bus. `name` must be its own; restarted under the same name it resumes its work at once, and
    one that still lives under that name ends with an OperatorError.

    `stages`: the stage classes it can run, by name; None: all that are registered when it starts.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        name: str = "engine",
        settings: EngineSettings | None = None,
        stages: Mapping[str, type[BaseStage]] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.bus = bus
        self.name = name
        self.settings = settings or EngineSettings()
        self.clock = clock or SystemClock()
        self.stages = dict(get_stages() if stages is None else stages)
        self.catalog = {stage: spec_of(class_) for stage, class_ in self.stages.items()}
        self.pipelines = Library(bus.definitions)
        self.intake = Intake(self.pipelines, self.catalog, self.clock, name, bus.events)
        self.places = Places(self.settings.max_running)
        self.waiting = WaitingRoom(self.settings.park_after, self.settings.max_waiting)
        shortcut = Shortcut(bus.events, self.pipelines, bus.snapshots, self.settings.snapshot_after)
        self._loader = Loader(bus.events, self.pipelines, shortcut)
        self._member: Member | None = None
        self._held: dict[int, _Held] = {}
        self.watchdog = Watchdog(self.settings.blocked_after)
        self.failures = Failures(lambda: asyncio.get_running_loop().time())
        self._background: set[asyncio.Task[Any]] = set()
        self._task: asyncio.Task[None] | None = None
        self._serving = asyncio.Event()
        self._said: dict[str, float] = {}
        self._overtaken = False

    # --- life ---

    async def start(self) -> None:
        """Begin. Returns once this engine serves every partition it could take at first, or is one too many for each
        to have one."""
        self.watchdog.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"engine {self.name}")
        serving = asyncio.get_running_loop().create_task(self._serving.wait())
        await asyncio.wait({self._task, serving}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        if self._task.done():
            self._task.result()

    async def wait(self) -> None:
        """Return when the engine has stopped; raises what stopped it."""
        assert self._task is not None
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Hand everything over and end: another engine goes on without waiting for the leases to run out. With no
        server to hand over to it ends all the same, after `STOP_PATIENCE`, as a crash would."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_PATIENCE):
                await self._say_farewell()
        await self._halt()

    async def _say_farewell(self) -> None:
        await asyncio.gather(*(held.partition.hand_over() for held in self._held.values()))
        await self._halt()
        if self._member is not None:
            held, self._held = self._held, {}
            releases = (self._release(self._member, number, one) for number, one in held.items())
            await asyncio.gather(self._withdraw(self._member), *releases)

    async def _release(self, member: Member, number: int, held: _Held) -> None:
        with suppress(BusError):
            await self.bus.leases.release(number, member, held.lease)

    async def _withdraw(self, member: Member) -> None:
        with suppress(BusError):
            await self.bus.leases.withdraw(member)

    async def kill(self) -> None:
        """End without any farewell, as a crash would. For tests and simulations."""
        await self._halt()

    async def _halt(self) -> None:
        self.watchdog.stop()
        self.waiting.close()
        self.failures.tell(at_last=True)
        tasks = [held.task for held in self._held.values()] + list(self._background)
        if self._task is not None:
            tasks.append(self._task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- leases ---

    async def _run(self) -> None:
        term = self.bus.leases.term
        pause = min(term / 8, 0.5)
        renewed = -term
        loop = asyncio.get_running_loop()
        while True:
            try:
                if self._member is None:
                    self._member = await self.bus.leases.join(self.name)
                if loop.time() - renewed >= term / 3:
                    renewed = loop.time()
                    await self._renew(self._member)
                await self._balance(self._member)
            except BusError as problem:
                self._complain("leases_unreachable", str(problem))
            self._restart_lost()
            self.failures.tell()
            if not self._serving.is_set() and self._held:
                await self._await_serving(pause)
            await asyncio.sleep(pause)

    async def _await_serving(self, patience: float) -> None:
        """A partition may be lost before it is served: the leases must not wait for it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.gather(*(held.partition.serving.wait() for held in self._held.values()))
            self._serving.set()

    async def _renew(self, member: Member) -> None:
        if not await self.bus.leases.announce(member, self._vitals()):
            raise OperatorError(
                f"another engine was started under the name {self.name} and takes the work of this one over: "
                "give each engine a name of its own"
            )
        for number, held in list(self._held.items()):
            until = self._term_from_now()
            revision = await self.bus.leases.renew(number, member, held.lease)
            if revision is None:
                log.warning("lease_lost", partition=number, engine=self.name)
                await self._let_go(number)
            else:
                held.lease = revision
                held.partition.host.renewed(until)

    def _vitals(self) -> Vitals:
        actors = [actor for held in self._held.values() for actor in held.partition.host.actors.values()]
        lacking = Counter(stage for actor in actors for stage in actor.workers.lacking)
        return Vitals(
            partitions=len(self._held),
            sessions=len(actors),
            running=self.places.taken,
            queued=self.places.queued,
            unsettled=sum(held.partition.checkpointing.unsettled for held in self._held.values()),
            commits=self.bus.commits(),
            lacking=dict(lacking.most_common(LISTED)),
            release=RELEASE,
            history_version=HISTORY_VERSION,
            clock=self.clock.now(),
        )

    async def _balance(self, member: Member) -> None:
        """Take free partitions up to a fair share; hand over what is above it."""
        share = self._share(await self.bus.leases.members())
        for number in list(self._held)[share:]:
            held = self._held[number]
            await held.partition.hand_over()
            await self._let_go(number)
            await self.bus.leases.release(number, member, held.lease)
        for number in range(self.bus.partitions):
            if len(self._held) >= share:
                break
            if number in self._held:
                continue
            until = self._term_from_now()
            lease = await self.bus.leases.acquire(number, member)
            if lease is not None:
                self._hold(number, lease, until)

    def _share(self, members: Mapping[str, Vitals]) -> int:
        """How many partitions are this engine's. Where one of a later release is at work, whose events it may not
        know, it leaves them all to that."""
        versions = {name: one.history_version for name, one in members.items()} | {self.name: HISTORY_VERSION}
        latest = max(versions.values())
        sharing = [name for name, version in versions.items() if version == latest]
        overtaken = self.name not in sharing
        if overtaken and not self._overtaken:
            log.warning("engine_overtaken", engine=self.name, by=sharing, mend="update this engine to their release")
        self._overtaken = overtaken
        if overtaken or len(sharing) > self.bus.partitions:
            self._serving.set()
        return 0 if overtaken else -(-self.bus.partitions // len(sharing))

    def _term_from_now(self) -> float:
        """When a lease asked for now runs out at the earliest, by the event loop's clock."""
        return asyncio.get_running_loop().time() + self.bus.leases.term

    def _hold(self, number: int, lease: int, until: float) -> None:
        assert self._member is not None
        partition = Partition(self, self._member, number, until)
        task = asyncio.get_running_loop().create_task(partition.run(), name=f"partition {number}")
        self._held[number] = _Held(partition, task, lease)

    async def _let_go(self, number: int) -> None:
        held = self._held.pop(number)
        held.task.cancel()
        await asyncio.gather(held.task, return_exceptions=True)

    def _restart_lost(self) -> None:
        """A partition whose checkpoint was refused is taken over anew, while its lease is ours."""
        for number, held in list(self._held.items()):
            if held.task.done():
                error = None if held.task.cancelled() else held.task.exception()
                if error is not None:
                    raise _worst(error)
                self._hold(number, held.lease, held.partition.host.held_until)

    # --- for the partitions ---

    async def load(self, session: str, least: int) -> State:
        """A session's state from a leader read made now, at least of version `least`."""
        return await self._loader.load(session, least)

    def trouble(self, problem: str) -> None:
        """Say, once for all sessions, that events cannot be recorded just now."""
        self._complain("events_not_recorded", problem)

    def _complain(self, event: str, problem: str) -> None:
        """Log what goes on not to work, once for a while."""
        now = asyncio.get_running_loop().time()
        if now - self._said.get(event, -SAID_EVERY) >= SAID_EVERY:
            self._said[event] = now
            log.warning(event, engine=self.name, problem=problem)

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something whose failure does not matter."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(lambda _: work.close())


class _Held:
    """A partition in our hands, the task working on it, and its lease's revision."""

    __slots__ = ("lease", "partition", "task")

    def __init__(self, partition: Partition, task: asyncio.Task[None], lease: int) -> None:
        self.partition = partition
        self.task = task
        self.lease = lease


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with suppress(BusError):
        await work


def _worst(error: BaseException) -> BaseException:
    """The operator's error inside a group of errors, or the error itself."""
    if isinstance(error, BaseExceptionGroup):
        found = error.subgroup(OperatorError)
        inner = (found or error).exceptions[0]
        return _worst(inner)
    return error
