"""One command to many sessions. Repeating it is harmless: its key is made of the session's version, so that a session
which has not moved since takes it once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, TypeVar

import msgspec

from stageflow_es.client.arguments import places
from stageflow_es.client.queries import SessionInfo
from stageflow_es.errors import CommandRejected, OperatorError, Problem
from stageflow_es.pipeline.pointers import shown
from stageflow_es.session.wire import ControlBody

if TYPE_CHECKING:
    from stageflow_es.client.client import Client

T = TypeVar("T")
R = TypeVar("R")

BulkAction = Literal["pause", "resume", "stop", "retry"]

APPLIES: dict[BulkAction, frozenset[str]] = {
    "pause": frozenset({"running", "waiting"}),
    "resume": frozenset({"paused"}),
    "stop": frozenset({"running", "waiting", "paused"}),
    "retry": frozenset({"failed"}),
}
"""In which status a session takes an action; to others it is not sent, for every refusal is an event of theirs."""

AT_ONCE = 32


class BulkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the command to one session. `unanswered`: it is kept, and no engine has said anything yet."""

    session: str
    outcome: Literal["accepted", "rejected", "unanswered"]
    reasons: list[str] = []


def takes(row: SessionInfo, action: BulkAction) -> bool:
    """Whether a session, as the projection has it, can take the action."""
    return row.status in APPLIES[action]


def check(action: BulkAction) -> None:
    """Raise CommandRejected when there is no such action for many."""
    if action not in tuple(APPLIES):
        message = f"{shown(action)} is nothing many sessions take: that is one of {', '.join(APPLIES)}"
        raise CommandRejected([Problem(path="/action", message=message)])


def choose(rows: Iterable[SessionInfo], action: BulkAction) -> list[SessionInfo]:
    """The sessions that can take the action. Raises TypeError for what are none."""
    rows = list(rows) if isinstance(rows, Iterable) else [rows]
    if not all(isinstance(row, SessionInfo) for row in rows):
        raise TypeError("many sessions are given as a Selection, or as the rows that `sessions` and `select` give")
    return [row for row in rows if takes(row, action)]


async def control_all(
    client: Client, action: BulkAction, rows: Iterable[SessionInfo], *, reason: str | None, at_once: int
) -> AsyncGenerator[BulkAnswer]:
    """Send the action to every session, at most `at_once` at a time; the answers as they come."""

    async def one(row: SessionInfo) -> BulkAnswer:
        key = f"{row.session}-bulk-{action}-{row.version}"
        try:
            await client.send("control", row.session, ControlBody(action=action, reason=reason), id=key, wait=True)
        except CommandRejected as refused:
            reasons = [problem.message for problem in refused.problems]
            return BulkAnswer(session=row.session, outcome="rejected", reasons=reasons)
        except OperatorError as silence:
            return BulkAnswer(session=row.session, outcome="unanswered", reasons=[str(silence)])
        return BulkAnswer(session=row.session, outcome="accepted")

    async with aclosing(spread(rows, one, places(at_once))) as answers:
        async for answer in answers:
            yield answer


async def spread(items: Iterable[T], work: Callable[[T], Awaitable[R]], at_once: int) -> AsyncGenerator[R]:
    """What `work` makes of every item, as it is done, at most `at_once` under way. Ended early, what is under way is
    cancelled."""
    waiting = iter(items)
    running: set[asyncio.Future[R]] = set()
    done: set[asyncio.Future[R]] = set()
    try:
        while True:
            while len(running) < at_once and (item := next(waiting, None)) is not None:
                running.add(asyncio.ensure_future(work(item)))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            while done:
                yield done.pop().result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, *done, return_exceptions=True)  # of those done nobody else may ask
