"""The engine's ports over a `Line`: the memory adapters behind a network that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from stageflow_es.engine.ports import Checkpoint, CommandKind, Member, Reader, StoredEvent, Unanswered, WrongSequence
from stageflow_es.engine.vitals import Commits, Vitals
from stageflow_es.testing.simulator.network import Line
from stageflow_es.testing.simulator.server import Server
from stageflow_es.testing.simulator.snapshots import SimulatedSnapshots
from stageflow_es.testing.simulator.witness import Witness

T = TypeVar("T")


class SimulatedBus:
    """`Bus` as one process has it."""

    def __init__(self, line: Line, server: Server, witness: Witness) -> None:
        self.partitions = server.bus.partitions
        self.partition = server.bus.partition
        self.events = _EventLog(line, server, witness)
        self.commands = _CommandLog(line, server, witness)
        self.timers = _Timers(line, server, witness)
        self.checkpoints = _Checkpoints(line, server, witness)
        self.leases = _Leases(line, server, witness)
        self.definitions = _Definitions(line, server, witness)
        self.snapshots = SimulatedSnapshots(line, server, witness)

    async def publish(self, kind: CommandKind, session: str, data: bytes, id: str | None = None) -> int:
        raise AssertionError("an engine sends no commands")

    def commits(self) -> Commits:
        return Commits()

    async def close(self) -> None:
        """Nothing to let go of."""


class _Port:
    def __init__(self, line: Line, server: Server, witness: Witness) -> None:
        self._line = line
        self._server = server
        self._bus = server.bus
        self._witness = witness


class _EventLog(_Port):
    async def append(self, session: str, events: Sequence[bytes], expected: int) -> int:
        async def store() -> int:
            return await self._bus.events.append(session, events, expected)

        last = await self._line.ask(f"append {len(events)} to {session} after {expected}", store)
        self._witness.learned(self._line.process, session, last)
        return last

    async def head(self, session: str) -> StoredEvent | None:
        return await self._line.ask(f"head of {session}", lambda: self._bus.events.head(session))

    async def first(self, session: str) -> StoredEvent | None:
        return await self._line.ask(f"first of {session}", lambda: self._bus.events.first(session))

    async def read(
        self, session: str, after: int = 0, upto: int | None = None, *, about: int | None = None
    ) -> list[StoredEvent]:
        found = await self._line.ask(f"read {session}", lambda: self._bus.events.read(session, after, upto))
        if found:
            self._witness.learned(self._line.process, session, found[-1].seq)
        return found


class _CommandLog(_Port):
    async def created(self) -> str:
        return await self._line.ask("commands created", self._bus.commands.created)

    async def open(self, partition: int, after: int) -> Reader:
        await self._line.ask(f"open commands {partition} after {after}", lambda: self._open(partition, after))
        return _Reader(self, "commands", partition, after)

    async def purge(self, partition: int, upto: int) -> None:
        async def purge() -> None:
            self._witness.purges(partition, upto)
            await self._bus.commands.purge(partition, upto)

        await self._line.ask(f"purge commands {partition} to {upto}", purge, harmless=True)

    async def reject(self, session: str, command_seq: int, data: bytes) -> None:
        await self._line.ask(
            f"reject {command_seq} of {session}",
            lambda: self._bus.commands.reject(session, command_seq, data),
            harmless=True,
        )

    async def _open(self, partition: int, after: int) -> Reader:
        return await self._bus.commands.open(partition, after)


class _Timers(_Port):
    async def created(self) -> str:
        return await self._line.ask("timers created", self._bus.timers.created)

    async def set(self, session: str, timer: str, due: datetime, n: int) -> None:
        fires = self._when(due)

        async def set() -> None:
            self._server.set_timer(session, timer, fires, n)
            if self._line.weather.strikes("timer_twice", 0.1):
                again = (fires - self._line.loop.wall()).total_seconds() + self._line.random.uniform(0.1, 8)
                self._line.loop.after(max(again, 0.1), self._server.set_timer, session, timer, fires, n)

        await self._line.ask(f"set timer {timer} of {session}", set, harmless=True)

    def _when(self, due: datetime) -> datetime:
        if self._line.weather.strikes("timer_late", 0.1):
            return due + timedelta(seconds=self._line.random.uniform(0.05, 5))
        if self._line.weather.strikes("timer_early", 0.1):
            return due - timedelta(seconds=self._line.random.uniform(0.05, 2))
        return due

    async def cancel(self, session: str, timer: str) -> None:
        await self._line.ask(
            f"cancel timer {timer} of {session}", lambda: self._bus.timers.cancel(session, timer), harmless=True
        )

    async def open(self, partition: int, after: int) -> Reader:
        await self._line.ask(f"open fires {partition} after {after}", lambda: self._open(partition, after))
        return _Reader(self, "fires", partition, after)

    async def purge(self, partition: int, upto: int) -> None:
        await self._line.ask(
            f"purge fires {partition} to {upto}", lambda: self._bus.timers.purge(partition, upto), harmless=True
        )

    async def _open(self, partition: int, after: int) -> Reader:
        return await self._bus.timers.open(partition, after)


class _Reader:
    """Reads a partition of a log. What an answer that never came held is read again."""

    def __init__(self, port: _CommandLog | _Timers, log: str, partition: int, after: int) -> None:
        self._port = port
        self._log = log
        self._partition = partition
        self._seen = after

    async def fetch(self, limit: int, wait: float) -> Sequence[Any]:
        port, line = self._port, self._port._line
        loop, weather = line.loop, line.weather
        deadline = loop.time() + wait
        while True:
            found = await line.ask(f"fetch {self._log} {self._partition}", lambda: self._read(limit))
            if found and weather.strikes("lost_tail", 0.05):
                found = found[: line.random.randrange(len(found))]
                if not found:
                    await asyncio.sleep(max(deadline - loop.time(), 0.01))
                    return []
            if found:
                self._seen = found[-1].seq
                return found
            if (left := deadline - loop.time()) <= 0:
                return []
            await port._server.listen(self._log, left)

    async def _read(self, limit: int) -> Sequence[Any]:
        reader = await self._port._open(self._partition, self._seen)
        found = await reader.fetch(limit, 0)
        if self._log == "fires":
            self._port._witness.fired(self._partition, found)
        return found

    async def close(self) -> None:
        """Nothing to let go of."""


class _Checkpoints(_Port):
    async def read(self, partition: int) -> tuple[int, Checkpoint | None]:
        async def read() -> tuple[int, Checkpoint | None]:
            all_of_them = self._server.checkpoints[partition]
            if len(all_of_them) > 1 and self._line.weather.strikes("stale_checkpoint", 0.1):
                return all_of_them[-2]
            return all_of_them[-1]

        return await self._line.ask(f"read checkpoint {partition}", read)

    async def write(self, partition: int, revision: int, checkpoint: Checkpoint) -> int:
        async def write() -> int:
            written = await self._bus.checkpoints.write(partition, revision, checkpoint)
            self._server.checkpoints[partition].append((written, checkpoint))
            self._witness.saved(partition, checkpoint)
            return written

        floors = f"{checkpoint.commands}/{checkpoint.fires} {sorted(checkpoint.sessions)}"
        return await self._line.ask(f"write checkpoint {partition} at {revision}: {floors}", write)


class _Leases(_Port):
    @property
    def term(self) -> float:
        return self._bus.leases.term

    async def join(self, name: str) -> Member:
        leases = self._bus.leases
        while True:
            known = leases.incarnation(name)

            async def join(known: int = known) -> Member:
                if leases.incarnation(name) != known:
                    raise WrongSequence(f"another joined as {name}")
                member = await leases.join(name)
                self._server.joined[name] = member.incarnation
                return member

            with suppress(WrongSequence):
                return await self._ask(f"join after {known}", join)

    async def acquire(self, partition: int, owner: Member) -> int | None:
        async def acquire() -> int | None:
            return self._note(partition, owner, await self._bus.leases.acquire(partition, owner))

        return await self._ask(f"acquire {partition}", acquire)

    async def renew(self, partition: int, owner: Member, revision: int) -> int | None:
        async def renew() -> int | None:
            return self._note(partition, owner, await self._bus.leases.renew(partition, owner, revision))

        return await self._ask(f"renew {partition} at {revision}", renew)

    async def _ask(self, what: str, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self._line.blind:
            await asyncio.sleep(self._line.random.uniform(0.1, 1))
            raise Unanswered(f"{what}: no answer")
        return await self._line.ask(what, operation)

    def _note(self, partition: int, owner: Member, revision: int | None) -> int | None:
        if revision is not None:
            self._server.leases[partition] = owner, revision
        return revision

    async def release(self, partition: int, owner: Member, revision: int) -> None:
        await self._ask(f"release {partition}", lambda: self._bus.leases.release(partition, owner, revision))

    async def announce(self, member: Member, vitals: Vitals) -> bool:
        return await self._ask("announce", lambda: self._bus.leases.announce(member, vitals))

    async def withdraw(self, member: Member) -> None:
        await self._ask("withdraw", lambda: self._bus.leases.withdraw(member))

    async def members(self) -> dict[str, Vitals]:
        async def members() -> dict[str, Vitals]:
            found = await self._bus.leases.members()
            if len(found) > 1 and self._line.weather.strikes("stale_members", 0.1):
                del found[self._line.random.choice(list(found))]
            return found

        return await self._ask("members", members)


class _Definitions(_Port):
    async def put(self, data: bytes) -> str:
        return await self._line.ask("put definition", lambda: self._bus.definitions.put(data), harmless=True)

    async def get(self, digest: str) -> bytes | None:
        return await self._line.ask("get definition", lambda: self._bus.definitions.get(digest))

    async def name(self, name: str, digest: str) -> None:
        await self._line.ask(f"name {name}", lambda: self._bus.definitions.name(name, digest), harmless=True)

    async def resolve(self, name: str) -> str | None:
        return await self._line.ask(f"resolve {name}", lambda: self._bus.definitions.resolve(name))

    async def versions(self, name: str) -> list[str]:
        return await self._line.ask(f"versions of {name}", lambda: self._bus.definitions.versions(name))

    async def names(self) -> dict[str, str]:
        return await self._line.ask("names", self._bus.definitions.names)
