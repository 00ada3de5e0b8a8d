"""How soon the query service answers: lists and searches by everything they may be by, over NATS."""

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

Question = tuple[str, dict[str, Any]]

LISTS: dict[str, dict[str, Any]] = {
    "the newest": {},
    "by status, most have it": {"status": "completed"},
    "by status, few have it": {"status": "waiting"},
    "by status, none has it": {"status": "paused"},
    "by pipeline": {"pipeline": "pipeline-07"},
    "by label, a tenth have it": {"label": "region=r3"},
    "by label, few have it": {"label": "customer=c42"},
    "by status and pipeline": {"status": "failed", "pipeline": "pipeline-07"},
    "by status and pipeline, none has both": {"status": "completed", "pipeline": "no-such-pipeline"},
    "by status and label": {"status": "waiting", "label": "region=r8"},
    "by status and label, none has both": {"status": "waiting", "label": "region=r3"},
    "by pipeline and label": {"pipeline": "pipeline-07", "label": "region=r3"},
    "by status, pipeline and label": {"status": "completed", "pipeline": "pipeline-07", "label": "region=r3"},
}


async def ask(stream: Stream, db: str, sessions: int) -> list[Figure]:
    """Milliseconds, the 99th percentile, of each question over a projection with so many sessions."""
    async with stream.running("services.query", db=db):
        await _up(stream.link)
        goal = 20 if sessions >= 100_000 else None
        figures = [
            Figure(f"list {name}, p99", await _p99(stream.link, [("list", {**by, "limit": PAGE})]), "ms", goal)
            for name, by in LISTS.items()
        ]
        deep = await _deep_pages(stream.link, {})
        figures.append(Figure("list, pages all the way down, p99", await _p99(stream.link, deep), "ms", goal))
        deep = await _deep_pages(stream.link, {"status": "completed", "label": "region=r3"})
        figures.append(
            Figure("list by status and label, all the way down, p99", await _p99(stream.link, deep), "ms", goal)
        )
        some = [("get", {"session": session_of(number * 97 % sessions).decode()}) for number in range(TIMES)]
        figures.append(Figure("get one session, p99", await _p99(stream.link, some), "ms", goal))
        states = [("state", question) for _, question in some]
        figures.append(Figure("the state of one session, p99", await _p99(stream.link, states), "ms", goal))
        histories = [("history", question) for _, question in some]
        figures.append(Figure("the history of one session, p99", await _p99(stream.link, histories), "ms", goal))
    slowest = max(figure.value for figure in figures)
    return [*figures, Figure(f"queries over {sessions:,} sessions, the slowest kind, p99", slowest, "ms", goal)]


async def _up(link: Link) -> None:
    """Return once the service answers."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await _answer(link, ("list", {"limit": 1}))
                return
            except BusError:
                await asyncio.sleep(0.05)


async def _answer(link: Link, question: Question) -> Any:
    name, body = question
    answer = await link.request(f"stageflow.query.session.{name}", msgspec.json.encode(body))
    if "Nats-Service-Error-Code" in answer.headers:
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
        page = await _answer(link, ("list", {**by, "limit": LONG_PAGE, "cursor": cursor}))
        cursor = page["cursor"]
        if cursor is None:
            return questions or [("list", {**by, "limit": PAGE})]
        questions.append(("list", {**by, "limit": PAGE, "cursor": cursor}))
