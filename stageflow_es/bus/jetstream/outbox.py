"""Publishing what many ask for at one moment: few messages go out one by one, many as one atomic batch, which costs
the server as much as several syncs to disk, whatever is in it.

One round is in flight at a time; what comes meanwhile makes up the next. The messages have nothing to do with each
other: when a batch is refused, each is sent alone and gets an answer of its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from itertools import count

from stageflow_es.bus.jetstream.frames import atomic_batch, frame
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import ApiError, Link, checked
from stageflow_es.engine.ports import Refused, Unanswered

FEW = 12
"""Messages that are faster one by one."""
_LARGEST = 1000
_BYTES = 4 * 1024 * 1024
_HEADERS = 256
"""More than the headers of a message take beside its id."""


class _Letter:
    __slots__ = ("answer", "key", "payload", "subject")

    def __init__(self, subject: str, payload: bytes, key: str) -> None:
        self.subject = subject
        self.payload = payload
        self.key = key
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def headers(self) -> bytes:
        return f"Nats-Msg-Id: {self.key}\r\n".encode()

    def tell(self, outcome: int | BaseException) -> None:
        if self.answer.done():
            return
        if isinstance(outcome, int):
            self.answer.set_result(outcome)
        else:
            self.answer.set_exception(outcome)


class Outbox:
    """Publishes to one stream, which takes atomic batches."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._pending: deque[_Letter] = deque()
        self._task: asyncio.Task[None] | None = None
        name = link.client.new_inbox().rsplit(".", 1)[1]
        self._batch_ids = (f"{name}-{number}".encode() for number in count(1))

    async def store(self, subject: str, payload: bytes, key: str) -> int:
        """Publish under a message id and return the sequence it was stored at. Raises ApiError, Unanswered, Refused."""
        if len(payload) + len(key.encode()) + _HEADERS > self._link.client.max_payload:
            raise Refused(f"{len(payload):,} bytes are more than the server takes in a message")
        letter = _Letter(subject, payload, key)
        self._pending.append(letter)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="outbox")
        return await letter.answer

    async def close(self) -> None:
        """Stop; whoever still waits learns that nobody knows."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        chosen: list[_Letter] = []
        try:
            while self._pending:
                await asyncio.sleep(0)  # whoever is about to ask comes along
                chosen = self._choose()
                await (self._singly(chosen) if len(chosen) <= FEW else self._together(chosen))
        finally:
            self._task = None
            for letter in (*chosen, *self._pending):
                letter.tell(Unanswered("the connection was closed"))
            self._pending.clear()

    def _choose(self) -> list[_Letter]:
        chosen: list[_Letter] = []
        size = 0
        while self._pending and len(chosen) < _LARGEST and size < _BYTES:
            letter = self._pending.popleft()
            if not letter.answer.done():
                chosen.append(letter)
                size += len(letter.payload)
        return chosen

    async def _singly(self, letters: list[_Letter]) -> None:
        answers: list[asyncio.Future[Incoming]] = [asyncio.get_running_loop().create_future() for _ in letters]
        with self._link.expecting_each([partial(_settle, answer) for answer in answers]) as replies:
            messages = zip(letters, replies, strict=True)
            frames = [frame(one.subject.encode(), reply.encode(), one.headers, one.payload) for one, reply in messages]
            try:
                await self._link.write(b"".join(frames))
            except Unanswered as problem:
                outcomes: list[int | BaseException] = [problem] * len(letters)
            else:
                waits = map(self._sequence, letters, answers)
                outcomes = await asyncio.gather(*waits, return_exceptions=True)
        for letter, outcome in zip(letters, outcomes, strict=True):
            letter.tell(outcome)

    async def _sequence(self, letter: _Letter, answer: asyncio.Future[Incoming]) -> int:
        """Where a message was stored. Raises ApiError, Unanswered."""
        with self._link.heeding():
            return int(checked(await self._link.answered(answer, letter.subject))["seq"])

    async def _together(self, letters: list[_Letter]) -> None:
        try:
            last = await self._batch(letters)
        except ApiError:
            await self._singly(letters)
        except Unanswered as problem:
            for letter in letters:
                letter.tell(problem)
        else:
            for seq, letter in enumerate(letters, last - len(letters) + 1):
                letter.tell(seq)

    async def _batch(self, letters: list[_Letter]) -> int:
        """The sequence of the last. Raises ApiError, Unanswered."""
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        messages = [(one.subject.encode(), one.headers, one.payload) for one in letters]
        with self._link.expecting(partial(_settle, answer)) as reply:
            await self._link.write(atomic_batch(messages, next(self._batch_ids), reply.encode()))
            return int(checked(await self._link.answered(answer, "a batch of messages"))["seq"])


def _settle(future: asyncio.Future[Incoming], answer: Incoming) -> None:
    if not future.done():
        future.set_result(answer)
