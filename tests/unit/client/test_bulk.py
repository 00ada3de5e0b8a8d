"""One command to many sessions."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing
from typing import Any

import pytest

from stageflow_es.client import BulkAnswer, SessionInfo
from stageflow_es.client.bulk import control_all, spread
from stageflow_es.errors import CommandRejected, OperatorError, Problem

ROWS = [SessionInfo(session=f"s{number}", status="running", version=number) for number in range(5)]


class Bus:
    """Takes the place of a client. `under_way`: the sessions whose answers are waited for."""

    def __init__(self, *answers: Exception | None) -> None:
        self.keys: list[str] = []
        self.under_way: set[str] = set()
        self._answers = iter(answers)

    async def send(self, kind: str, session: str, body: object, *, id: str, wait: bool) -> None:
        assert (kind, wait) == ("control", True)
        self.keys.append(id)
        self.under_way.add(session)
        try:
            answer = next(self._answers, ...)
            if answer is ...:
                await asyncio.get_running_loop().create_future()
            if isinstance(answer, Exception):
                raise answer
        finally:
            self.under_way.remove(session)


def stopping(bus: Any, at_once: int) -> Any:
    return aclosing(control_all(bus, "stop", ROWS, reason=None, at_once=at_once))


async def test_what_became_of_each_is_told() -> None:
    bus = Bus(None, CommandRejected([Problem(message="it sleeps")]), OperatorError("silence"), None, None)
    async with stopping(bus, 2) as answers:
        told = {answer.session: answer async for answer in answers}
    assert told == {
        "s0": BulkAnswer(session="s0", outcome="accepted"),
        "s1": BulkAnswer(session="s1", outcome="rejected", reasons=["it sleeps"]),
        "s2": BulkAnswer(session="s2", outcome="unanswered", reasons=["silence"]),
        "s3": BulkAnswer(session="s3", outcome="accepted"),
        "s4": BulkAnswer(session="s4", outcome="accepted"),
    }
    assert bus.keys == [f"s{number}-bulk-stop-{number}" for number in range(5)]


async def test_ended_early_nothing_is_under_way_any_more_and_nothing_more_is_sent() -> None:
    bus = Bus(None)
    async with stopping(bus, 2) as answers:
        assert (await anext(answers)).session == "s0"
        assert bus.under_way == {"s1"}
    assert not bus.under_way
    assert len(bus.keys) == 2


async def test_no_more_are_under_way_than_were_asked_for_and_no_fewer() -> None:
    under_way, most = 0, 0
    free = asyncio.Event()

    async def work(item: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == 3:
            free.set()
        await free.wait()
        await asyncio.sleep(0)
        under_way -= 1
        return item

    assert sorted([done async for done in spread(range(9), work, 3)]) == list(range(9))
    assert most == 3


async def test_of_several_that_fail_at_once_the_first_is_told_and_none_is_complained_of_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    together = asyncio.Event()

    async def work(item: int) -> None:
        if item == 2:
            together.set()
        await together.wait()
        raise ValueError(item)

    with pytest.raises(ValueError, match=r"\d"):
        await anext(spread(range(3), work, 3))
    gc.collect()
    assert not caplog.records
