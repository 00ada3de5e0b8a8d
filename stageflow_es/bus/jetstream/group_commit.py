"""Group commit: appends pending at one moment, of many sessions, share one atomic batch and so one sync to
disk.

One round is in flight at a time; what arrives meanwhile makes up the next. Few events go out as plain publishes,
which is faster. A batch is all or none, so a conflict of one session refuses everybody's appends: the culprit is
found, told, and the rest is sent again.
An answer that does not come is everybody's: nobody knows what was stored.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from time import monotonic

from stageflow_es.bus.jetstream.append import Append, behind
from stageflow_es.bus.jetstream.chain import publish
from stageflow_es.bus.jetstream.frames import Message, atomic_batch
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import WRONG_SEQUENCE, ApiError, Link, checked
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.engine.ports import StoredEvent, Unanswered, WrongSequence
from stageflow_es.engine.vitals import Tally

_ACTUAL = re.compile(r"wrong last sequence: (\d+)")
_ROUNDS_WITHOUT_CULPRIT = 5
_LEAST_HALF = 40
"""Appends that are not parted: whatever is in it, a batch costs the server about as much processor time as thirty
events do (and as many syncs as several), which is more than taking turns gains."""
_LONGEST_CHAIN = 4
"""Events of one session that are published one by one rather than as a batch."""

Heads = Callable[[str], Awaitable[StoredEvent | None]]
Owner = Callable[[int], Awaitable[str | None]]
Clustered = Callable[[], Awaitable[bool]]


class GroupCommit:
    """Sends appends in rounds. `heads` and `owner` (the session of a sequence) are read from the leader; `clustered`
    says whether the stream may have copies on several servers."""

    def __init__(
        self, link: Link, settings: BusSettings, batch_prefix: str, heads: Heads, owner: Owner, clustered: Clustered
    ) -> None:
        self._link = link
        self._settings = settings
        self._batch_ids = (f"{batch_prefix}-{number}".encode() for number in count(1))
        self._heads = heads
        self._owner = owner
        self._clustered = clustered
        self.tally = Tally(monotonic)
        self._pending: deque[Append] = deque()
        self._answered = 0
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, append: Append) -> None:
        if self._closed:
            append.failed(Unanswered("the bus was closed"))
            return
        if not self._pending:
            self._arrived.set()
        self._pending.append(append)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="group-commit")

    async def close(self) -> None:
        """Stop; whoever still waits learns that nobody knows, and so does who comes later."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for append in self._pending:
            append.failed(Unanswered("the bus was closed"))
        self._pending.clear()

    async def _run(self) -> None:
        while True:
            chosen = self._choose(await self._room())
            began, self._answered = monotonic(), len(chosen)
            try:
                await self._commit(chosen)
                self.tally.round(sum(len(append.events) for append in chosen), began)
            except Exception as error:
                unknown = error if isinstance(error, Unanswered) else Unanswered(f"a bug on our side: {error!r}")
                for append in chosen:
                    append.failed(unknown)
            finally:
                for append in chosen:
                    if not append.answer.done():
                        append.failed(Unanswered("the bus was closed"))

    async def _room(self) -> int:
        """Wait for appends, and say how many the next round takes. Those that came during the last round go at once,
        all of them. If none did, the sessions move in step, and the server would idle while they think and they while
        it writes: half of them go ahead, so that from then on the two halves take turns.
        """
        if self._pending:
            return len(self._pending)
        self._arrived.clear()
        await self._arrived.wait()
        if len(self._pending) < self._answered:
            await asyncio.sleep(0)  # whoever was answered just now may have more
        return max(_LEAST_HALF, (len(self._pending) + 1) // 2)

    def _choose(self, room: int) -> list[Append]:
        """The next round: at most `room` appends, one a session, oldest first, within a batch's limits; the cancelled
        are dropped.
        """
        chosen: dict[str, Append] = {}
        later: list[Append] = []
        messages = size = 0
        while self._pending and len(chosen) < room:
            append = self._pending.popleft()
            if append.answer.done():
                continue
            if append.session in chosen:
                later.append(append)
                continue
            messages += len(append.events)
            size += append.size
            if chosen and (messages > self._settings.batch_messages or size > self._settings.batch_bytes):
                later.append(append)
                break
            chosen[append.session] = append
        self._pending.extendleft(reversed(later))
        return list(chosen.values())

    async def _commit(self, appends: list[Append]) -> None:
        conflicts = blanks = 0
        while appends:
            if await self._few(appends):
                await publish(self._link, appends, self._batch_ids)
                return
            try:
                await self._batch(appends)
                return
            except ApiError as error:
                if error.number not in WRONG_SEQUENCE:
                    for append in appends:
                        append.failed(error.as_bus_error(append.what))
                    return
                culprits = await self._culprits(appends, error, thorough=conflicts > 1)
            conflicts += 1
            blanks += not culprits
            if blanks > _ROUNDS_WITHOUT_CULPRIT:
                raise Unanswered("appends are refused for a conflict that is not to be found")
            for append in culprits:
                append.failed(WrongSequence(f"session {append.session}: its last sequence is not {append.expected}"))
            appends = [one for one in appends if one not in culprits and not one.answer.done()]

    async def _few(self, appends: list[Append]) -> bool:
        """Whether plain publishes are faster than a batch: each costs a sync, a batch as much as several, and events
        of one session go out one after the other, where they may."""
        most = self._settings.plain_appends
        if len(appends) > most or sum(len(one.events) for one in appends) > most:
            return False
        longest = max(len(append.events) for append in appends)
        return longest == 1 or (longest <= _LONGEST_CHAIN and not await self._clustered())

    async def _batch(self, appends: list[Append]) -> None:
        """All of them or none. Raises ApiError when refused."""
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        with self._link.expecting(lambda msg: None if answer.done() else answer.set_result(msg)) as reply:
            await self._link.write(_batch_frames(appends, next(self._batch_ids), reply.encode()))
            ack = checked(await self._link.answered(answer, "a batch of appends"))
        last = int(ack["seq"]) - sum(len(append.events) for append in appends)
        for append in appends:
            last += len(append.events)
            append.stored(last)

    async def _culprits(self, appends: list[Append], error: ApiError, thorough: bool) -> list[Append]:
        """Whose expectation is wrong: the one the error names, or by every head when it names none."""
        named = _ACTUAL.search(error.description)
        if named and int(named.group(1)) and not thorough:
            actual = int(named.group(1))
            session = await self._owner(actual)
            found = [one for one in appends if one.session == session and one.expected != actual]
            if found:
                return found
        heads = await asyncio.gather(*(self._heads(append.session) for append in appends))
        return [one for one, head in zip(appends, heads, strict=True) if one.expected != (head.seq if head else 0)]


def _batch_frames(appends: list[Append], batch_id: bytes, reply: bytes) -> bytes:
    """One atomic batch of all their events."""
    messages: list[Message] = []
    for append in appends:
        subject, condition = append.subject, behind(append.expected)
        for event in append.events:
            messages.append((subject, condition, event))
            condition = b""
    return atomic_batch(messages, batch_id, reply)
