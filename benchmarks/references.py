"""References: what the disk and JetStream do with no engine around them, so that figures of other machines and other
moments can be compared. The stream, the server's settings and the client are those of the engine.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import count

from benchmarks.disk import RECORD, syncs
from benchmarks.figures import Figure, rate
from benchmarks.program import program
from benchmarks.scale import sized
from benchmarks.stream import Stream
from stageflow_es.bus.jetstream.frames import atomic_batch
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Link, checked

SECONDS = sized(3, 1)
AT_ONCE = 100
ALONE = sized(500, 100)
BATCHES = (100, 400)

Heads = dict[int, int]
"""The last sequence of each session."""


async def _during(seconds: float, work: Callable[[], Awaitable[int]]) -> float:
    """What `work` did in all a second, called again and again."""
    done = 0
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        done += await work()
    return done / taken


def _condition(head: int) -> str:
    return f"Nats-Expected-Last-Subject-Sequence: {head}"


async def _append(link: Link, kind: str, session: int, heads: Heads) -> int:
    """One event, published plainly behind the session's last one."""
    headers = {"Nats-Expected-Last-Subject-Sequence": str(heads.get(session, 0))}
    heads[session] = await link.store(f"stageflow.append.{kind}{session}", RECORD, headers)
    return 1


async def _alone(link: Link) -> float:
    """Milliseconds of a plain publish with nothing beside it: the median."""
    heads: Heads = {}
    times = []
    for _ in range(ALONE):
        began = time.perf_counter()
        await _append(link, "alone", 0, heads)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


async def _plain(link: Link) -> float:
    """Plain publishes a second, of 100 sessions at once."""
    heads: Heads = {}

    async def one(session: int) -> float:
        return await _during(SECONDS, lambda: _append(link, "plain", session, heads))

    return sum(await asyncio.gather(*map(one, range(AT_ONCE))))


async def _batched(link: Link, size: int) -> float:
    """Events a second in atomic batches of one event of `size` sessions each, one batch in flight."""
    heads: Heads = {}
    numbers = count(1)
    subjects = [f"stageflow.append.batch{size}-{session}".encode() for session in range(size)]

    async def batch() -> int:
        answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
        lines = [f"{_condition(heads.get(session, 0))}\r\n".encode() for session in range(size)]
        messages = [(subject, line, RECORD) for subject, line in zip(subjects, lines, strict=True)]
        with link.expecting(answer.set_result) as reply:
            await link.write(atomic_batch(messages, f"batch{size}-{next(numbers)}".encode(), reply.encode()))
            last = int(checked(await link.answered(answer, "a batch"))["seq"])
        heads.update(enumerate(range(last - size + 1, last + 1)))
        return size

    return await _during(SECONDS, batch)


async def measure() -> list[Figure]:
    figures = [rate("fsync alone, one file", syncs(SECONDS), "/s")]
    async with Stream.filled(0, 1) as stream:
        link = stream.link
        figures.append(Figure("JetStream, plain publish alone, p50", await _alone(link), "ms"))
        figures.append(rate(f"JetStream, plain publishes, {AT_ONCE} at once", await _plain(link), "events/s"))
        for size in BATCHES:
            name = f"JetStream, atomic batches of {size} sessions"
            figures.append(rate(name, await _batched(link, size), "events/s"))
    return figures


if __name__ == "__main__":
    program(measure, __doc__)
