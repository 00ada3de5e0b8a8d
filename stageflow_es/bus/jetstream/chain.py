"""A few appends as plain publishes, all under way together: each event is stored only right behind the one before it.

Not for more than one event of a session in a cluster: a replicated stream stops for good, on all of its servers and
across their restarts, when one message does not come right behind the id it expects (nats-server 2.15.1).

An append is told of its outcome while the answers are read, so that what its session does next can go out in the same
turn of the event loop as the answer came in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from stageflow_es.bus.jetstream.append import Append, behind
from stageflow_es.bus.jetstream.frames import frame
from stageflow_es.bus.jetstream.incoming import Incoming, Take
from stageflow_es.bus.jetstream.link import ApiError, Link, checked, responded
from stageflow_es.engine.ports import Unanswered

_OTHER_BEFORE = 10070
"""The stream's last message has another id than was expected."""


async def publish(link: Link, appends: Sequence[Append], ids: Iterator[bytes]) -> None:
    """Store appends, each under one of `ids`, and tell each what became of it. Raises Unanswered when nothing could be
    sent."""
    left = len(appends)
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def finished() -> None:
        nonlocal left
        left -= 1
        if not left and not over.done():
            over.set_result(None)

    chains = [_Chain(append, finished) for append in appends]
    with link.expecting_each([sink for chain in chains for sink in chain.sinks()]) as replies:
        subjects = iter(replies)
        await link.write(b"".join([chain.frames(next(ids), subjects) for chain in chains]))
        silence = None
        try:
            await link.heard(over, "an append")
        except Unanswered as problem:
            silence = problem
    for chain in chains:
        if not chain.append.answer.done():
            await chain.settle(link, silence)


class _Chain:
    """One append, and the answers to its events; `finished` is called when they are all there."""

    __slots__ = ("_answers", "_finished", "_missing", "append")

    def __init__(self, append: Append, finished: Callable[[], None]) -> None:
        self.append = append
        self._finished = finished
        self._missing = len(append.events)
        self._answers: list[Incoming | None] = [None] * self._missing

    def sinks(self) -> list[Take]:
        """What takes the answers, event by event."""
        return [partial(self._take, place) for place in range(self._missing)]

    def frames(self, id: bytes, replies: Iterator[str]) -> bytes:
        """Its events as messages, each answered on its own."""
        append = self.append
        if len(append.events) == 1:
            return frame(append.subject, next(replies).encode(), behind(append.expected), append.events[0])
        frames = []
        condition = behind(append.expected)
        for place, event in enumerate(append.events):
            name = b"%b.%d" % (id, place)
            headers = b"%bNats-Msg-Id: %b\r\n" % (condition, name)
            frames.append(frame(append.subject, next(replies).encode(), headers, event))
            condition = b"Nats-Expected-Last-Msg-Id: %b\r\n" % name
        return b"".join(frames)

    def _take(self, place: int, answer: Incoming) -> None:
        if self._answers[place] is not None:
            return
        self._answers[place] = answer
        self._missing -= 1
        if self._missing:
            return
        try:
            sequences = [self._sequence(one) for one in self._answers]
        except (ApiError, Unanswered):
            pass  # `settle` looks at it closely
        else:
            self.append.stored(sequences[-1])
        self._finished()

    def _sequence(self, answer: Incoming | None, silence: Unanswered | None = None) -> int:
        """Where an event was stored. Raises ApiError when it was not, Unanswered when nobody knows."""
        if answer is None:
            raise silence or Unanswered(f"no answer to {self.append.what}")
        return int(checked(responded(answer, self.append.what))["seq"])

    async def settle(self, link: Link, silence: Unanswered | None) -> None:
        """Tell the append what became of it, where that is not plain success. Where another session's event came
        between two of its own, the rest go out one after the other. `silence`: why answers are missing, if they are."""
        append, last = self.append, self.append.expected
        try:
            for place, answer in enumerate(self._answers):
                try:
                    last = self._sequence(answer, silence)
                except ApiError as error:
                    if error.number != _OTHER_BEFORE:
                        raise
                    for event in append.events[place:]:
                        last = await self._single(link, event, last)
                    break
        except ApiError as error:
            append.failed(error.as_bus_error(append.what))
        except Unanswered as error:
            append.failed(error)
        else:
            append.stored(last)

    async def _single(self, link: Link, event: bytes, expected: int) -> int:
        """Publish one event behind a known one. Raises ApiError, Unanswered."""
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        with link.expecting(answer.set_result) as reply:
            await link.write(frame(self.append.subject, reply.encode(), behind(expected), event))
            return self._sequence(await link.answered(answer, self.append.what))
