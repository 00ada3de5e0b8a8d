"""Valid histories by the hundred thousand, put on a server's stream as fast as it takes them.

A few sessions are made by the core itself; the others are those with another id, other labels and another time, their
chains of hashes made anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import islice

import msgspec

from benchmarks.stages import ASK, chain
from stageflow_es.bus.jetstream import JetStreamBus
from stageflow_es.bus.jetstream.frames import Message, atomic_batch
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Link, checked
from stageflow_es.engine.clock import rfc3339
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.testing.scenario import START, Move, Scenario, completed, failed, waits

EVENTS = 10
"""Of each session."""
PIPELINES = 20
REGIONS = 10
CUSTOMERS = 1000
BATCH = 1000
PATIENCE = 60.0

_SESSION, _NAME, _LABELS, _AT, _PREV = b"SESSION", b"NAME", b'{"of":"LABELS"}', rfc3339(START).encode(), b'"prev":"'
_HASH = 64


class Kind:
    """One course a session may take, as pieces to put a session's own into."""

    def __init__(self, document: dict[str, object], *moves: Move) -> None:
        self.pipeline = Pipeline.from_dict(document)
        scenario = Scenario(self.pipeline)
        scenario.state = State(_SESSION.decode(), self.pipeline)
        begin = cmd.Start(
            at=scenario.at, seq=1, id=_SESSION.decode(), payload={}, pipeline=_NAME.decode(), labels={"of": "LABELS"}
        )
        scenario.when(begin, *moves)
        self._events = scenario.history
        assert len(self._events) == EVENTS, [msgspec.json.decode(event)["type"] for event in self._events]

    def history(self, number: int) -> list[bytes]:
        """The events of the session of that number."""
        at = rfc3339(START + timedelta(milliseconds=number)).encode()
        name = b"pipeline-%02d" % (number // 7 % PIPELINES)
        labels = b'{"kind":"order","region":"r%d","customer":"c%d"}' % (number % REGIONS, number % CUSTOMERS)
        events: list[bytes] = []
        for event in self._events:
            own = event.replace(_SESSION, session_of(number)).replace(_AT, at)
            if events:
                place = own.index(_PREV) + len(_PREV)
                own = own[:place] + sha256(events[-1]).hexdigest().encode() + own[place + _HASH :]
            else:
                own = own.replace(_NAME, name).replace(_LABELS, labels)
            events.append(own)
        return events


def session_of(number: int) -> bytes:
    """The id of a session."""
    return b"session-%06d" % number


def _step(number: int) -> Move:
    return completed(writes={"value": number})


def _asking(steps: int) -> dict[str, object]:
    document = chain(steps)
    last, end = document["nodes"][-2:]
    nodes = [*document["nodes"][:-2], {**last, "next": "ask"}, {**ASK["nodes"][0], "next": "end"}, end]
    return {**document, "nodes": nodes}


def kinds() -> Sequence[Kind]:
    """Ten of them, for seven in ten sessions complete, and one each fails, waits and runs."""
    steps = [_step(number) for number in range(1, EVENTS)]
    whole = Kind(chain(7), *steps[:7])
    return [
        *(whole,) * 7,
        Kind(chain(8), *steps[:7], failed()),
        Kind(_asking(8), *steps[:8], waits("answer")),
        Kind(chain(10), *steps),
    ]


async def fill(bus: JetStreamBus, sessions: int, at_once: int) -> None:
    """Put so many sessions on the stream, so many of them under way at any moment."""
    courses = kinds()
    for kind in courses:
        await bus.definitions.put(kind.pipeline.canonical)
    link = await Link.open(bus.connection, PATIENCE)
    messages = _messages(courses, sessions, at_once, bus.names.append)
    number = 0
    while batch := list(islice(messages, BATCH)):
        number += 1
        await _store(link, batch, b"fill-%d" % number)
        await asyncio.sleep(0)
    await link.close()


def _messages(courses: Sequence[Kind], sessions: int, at_once: int, subject: Callable[[str], str]) -> Iterator[Message]:
    """Events in order: those sessions that are under way take turns."""
    for start in range(0, sessions, at_once):
        numbers = range(start, min(start + at_once, sessions))
        histories = [
            (subject(session_of(number).decode()).encode(), courses[number % len(courses)].history(number))
            for number in numbers
        ]
        for place in range(EVENTS):
            for to, events in histories:
                yield to, b"" if place else b"Nats-Expected-Last-Subject-Sequence: 0\r\n", events[place]


async def _store(link: Link, batch: list[Message], id: bytes) -> None:
    answer: asyncio.Future[Incoming] = asyncio.get_running_loop().create_future()
    with link.expecting(answer.set_result) as reply:
        await link.write(atomic_batch(batch, id, reply.encode()))
        checked(await link.answered(answer, "a batch of events"))
