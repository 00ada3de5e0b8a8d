"""How soon the query service answers: lists by everything they may be by, with many hits, few and none, and
all else that is asked, over NATS.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import msgspec

from benchmarks.figures import Figure
from benchmarks.histories import session_of
from benchmarks.stream import PATIENCE, Stream
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.engine.ports import BusError

TIMES = 200
PAGE = 50
LONG_PAGE = 500
LIST = "session.list"
NOT_THERE = "404"

Question = tuple[str, dict[str, Any]]

LISTS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "by status, most have it": {"status": "completed"},
    "by status, few have it": {"status": "waiting"},
    "by status, none has it": {"status": "paused"},
    "by pipeline": {"pipeline": "pipeline-07"},
    "by pipeline, none has it": {"pipeline": "no-such-pipeline"},
    "by label, all have it": {"label": "kind=order"},
    "by label, a tenth have it": {"label": "region=r3"},
    "by label, few have it": {"label": "customer=c42"},
    "by label, none has it": {"label": "region=r99"},
    "by status and pipeline": {"status": "completed", "pipeline": "pipeline-07"},
    "by status and pipeline, none has both": {"status": "failed", "pipeline": "pipeline-07"},
    "by status and pipeline, most have the one and none the other": {
        "status": "completed",
        "pipeline": "no-such-pipeline",
    },
    "by status and label": {"status": "waiting", "label": "region=r8"},
    "by status and label, none has both": {"status": "waiting", "label": "region=r3"},
    "by status and label, none has the one and all the other": {"status": "paused", "label": "kind=order"},
    "by pipeline and label": {"pipeline": "pipeline-07", "label": "region=r3"},
    "by pipeline and label, none has the one and all the other": {
        "pipeline": "no-such-pipeline",
        "label": "kind=order",
    },
    "by status, pipeline and label": {"status": "completed", "pipeline": "pipeline-07", "label": "region=r3"},
    "by status, pipeline and label, none has all": {
        "status": "failed",
        "pipeline": "pipeline-07",
        "label": "kind=order",
    },
}

DEEP: dict[str, dict[str, Any]] = {
    "of all": {},
    "by pipeline": {"pipeline": "pipeline-07"},
    "by status and pipeline": {"status": "completed", "pipeline": "pipeline-07"},
    "by label, all have it": {"label": "kind=order"},
    "by status and label": {"status": "completed", "label": "region=r3"},
}


def _of_sessions(sessions: int) -> dict[str, list[Question]]:
    """Questions about one session, of sessions here and there."""
    some = [session_of(number * 97 % sessions).decode() for number in range(TIMES)]
    return {
        "get one session": [("session.get", {"session": session}) for session in some],
        "get one that is not there": [("session.get", {"session": f"no-{session}"}) for session in some],
        "the state of one session": [("session.state", {"session": session}) for session in some],
        "its state as of an event": [("session.state", {"session": session, "at": 5}) for session in some],
        "its snapshot": [("session.snapshot", {"session": session}) for session in some],
        "its history": [("session.history", {"session": session}) for session in some],
        "its history from an event on": [("session.history", {"session": session, "from": 6}) for session in some],
        "the history of one that is not there": [("session.history", {"session": f"no-{session}"}) for session in some],
        "how many there are": [("session.count", {})],
        "health": [("health", {})],
    }


async def ask(stream: Stream, db: str, sessions: int) -> list[Figure]:
    """Milliseconds, the 99th percentile, of each question over a projection with so many sessions."""
    goal = 20 if sessions >= 100_000 else None
    async with stream.running("services.query", db=db):
        await _up(stream.link)
        kinds = {f"list {name}": [(LIST, {**by, "limit": PAGE})] for name, by in LISTS.items()}
        for name, by in DEEP.items():
            kinds[f"list {name}, all the way down"] = await _deep_pages(stream.link, by)
        kinds |= _of_sessions(sessions)
        figures = [
            Figure(f"{name}, p99", await _p99(stream.link, questions), "ms", goal) for name, questions in kinds.items()
        ]
    slowest = max(figure.value for figure in figures)
    return [*figures, Figure(f"queries over {sessions:,} sessions, the slowest kind, p99", slowest, "ms", goal)]


async def _up(link: Link) -> None:
    """Return once the service answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await _answer(link, (LIST, {"limit": 1}))
                return
            except BusError:
                await asyncio.sleep(0.05)


async def _answer(link: Link, question: Question) -> Any:
    name, body = question
    answer = await link.request(f"stageflow.query.{name}", msgspec.json.encode(body))
    if answer.headers.get("Nats-Service-Error-Code", NOT_THERE) != NOT_THERE:
        raise RuntimeError(f"{question}: {answer.data.decode()}")
    return msgspec.json.decode(answer.data)


async def _p99(link: Link, questions: list[Question]) -> float:
    """Each question at least once, `TIMES` in all at least."""
    times = []
    for number in range(max(TIMES, len(questions))):
        began = time.perf_counter()
        await _answer(link, questions[number % len(questions)])
        times.append((time.perf_counter() - began) * 1000)
    return statistics.quantiles(times, n=100)[98]


async def _deep_pages(link: Link, by: dict[str, Any]) -> list[Question]:
    """Questions for pages all along a list to its end."""
    cursor = None
    questions: list[Question] = []
    while True:
        page = await _answer(link, (LIST, {**by, "limit": LONG_PAGE, "cursor": cursor}))
        cursor = page["cursor"]
        if cursor is None:
            return questions or [(LIST, {**by, "limit": PAGE})]
        questions.append((LIST, {**by, "limit": PAGE, "cursor": cursor}))
