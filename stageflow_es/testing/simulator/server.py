"""The bus as a server: the memory bus, and what a simulated network needs to know beside it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine.ports import Checkpoint, Member
from stageflow_es.testing.simulator.loop import VirtualLoop

T = TypeVar("T")

LEASE_TERM = 4.0


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that never waits comes to."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    raise AssertionError("a memory adapter waited")


class Server:
    """The memory bus on the loop's true time. `leases`: the newest revision of each, with its owner; `checkpoints`:
    all of each partition's, oldest first; `joined`: the latest incarnation under each name."""

    def __init__(self, loop: VirtualLoop, partitions: int) -> None:
        self.bus = MemoryBus(partitions, clock=loop.wall, lease_ttl=LEASE_TERM)
        self.leases: dict[int, tuple[Member, int]] = {}
        self.checkpoints: defaultdict[int, list[tuple[int, Checkpoint | None]]] = defaultdict(lambda: [(0, None)])
        self.joined: defaultdict[str, int] = defaultdict(int)
        self._loop = loop
        self._listening: defaultdict[str, list[asyncio.Future[None]]] = defaultdict(list)

    def ring(self, log: str) -> None:
        """Something was added to a log (`commands`, `fires`): wake who waits for it."""
        for future in self._listening.pop(log, ()):
            if not future.done():
                future.set_result(None)

    async def listen(self, log: str, seconds: float) -> None:
        """Wait until something is added to a log, or for so long."""
        future = self._loop.create_future()
        self._listening[log].append(future)
        handle = self._loop.call_later(seconds, _give_up, future)
        try:
            await future
        finally:
            handle.cancel()

    def set_timer(self, session: str, timer: str, due: datetime, n: int) -> None:
        at_once(self.bus.timers.set(session, timer, due, n))
        left = (due - self._loop.wall()).total_seconds()
        self._loop.after(max(left, 0), self.fire)

    def fire(self) -> None:
        self.bus.timers.fire_due()
        self.ring("fires")

    def last_fire(self, partition: int) -> int:
        """The last fire in a partition that is not purged yet."""
        fires = self.bus.timers._log.partitions[partition]
        return fires[-1].seq if fires else 0

    def end_lease(self, partition: int) -> bool:
        """Let a lease run out early; False: nobody held it."""
        if partition not in self.leases:
            return False
        at_once(self.bus.leases.release(partition, *self.leases.pop(partition)))
        return True


def _give_up(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
