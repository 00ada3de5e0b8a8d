"""The clock of virtual time: from where it goes, who may move it, and what is done when it has moved."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from stageflow_es import Session
from stageflow_es.testing import (
    advance,
    in_virtual_time,
    run_in_virtual_time,
)

from .virtual import DAY, HOUR, one


@in_virtual_time
async def test_what_is_due_at_a_moment_is_done_when_advance_returns() -> None:
    seen: list[str] = []

    async def chain() -> None:
        await asyncio.sleep(HOUR)
        for _ in range(10):
            await asyncio.sleep(0)
        seen.append("done")
        await asyncio.sleep(1)
        seen.append("later")

    task = asyncio.create_task(chain())
    await advance(HOUR)
    assert seen == ["done"]
    await task


@in_virtual_time
async def test_several_may_move_the_time_and_one_that_is_cancelled_moves_nothing() -> None:
    order: list[int] = []

    async def move(number: int, seconds: float) -> None:
        await advance(seconds)
        order.append(number)

    tasks = [asyncio.create_task(move(n, s)) for n, s in enumerate((2, 1, 1, 0.5))]
    await advance(0)
    tasks[3].cancel()
    await asyncio.wait(tasks)
    assert order == [1, 2, 0]
    assert asyncio.get_running_loop().time() == 2


@in_virtual_time
async def test_timers_keep_their_moments_for_centuries() -> None:
    loop = asyncio.get_running_loop()
    for years in (1, 10, 100, 160):
        await asyncio.sleep(years * 365 * DAY)
        async with asyncio.timeout(0.5):
            await asyncio.sleep(0.001)
    assert loop.time() == pytest.approx(271 * 365 * DAY + 0.004)


@pytest.mark.parametrize("seconds", [-1, math.nan, math.inf, 300 * 365 * DAY])
def test_time_cannot_be_moved_by_just_anything(seconds: float) -> None:
    with pytest.raises(ValueError, match="time cannot be moved by"):
        run_in_virtual_time(advance(seconds))


@in_virtual_time(start=datetime(2024, 2, 28, 23, tzinfo=timezone(timedelta(hours=1))))
async def test_the_clock_may_begin_at_any_moment_in_any_time_zone() -> None:
    session = Session("s", one("TimeSleeps", config={"seconds": DAY}))
    await session.run()
    assert session.event_history[0].timestamp == datetime(2024, 2, 28, 22, tzinfo=UTC)
    assert await advance() == datetime(2024, 2, 29, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"start": datetime(2030, 1, 1)}, "no time zone"),
        ({"patience": -1}, "patience must be"),
        ({"patience": math.inf}, "patience must be"),
    ],
)
def test_a_clock_that_makes_no_sense_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        in_virtual_time(**options)(_nothing)()


async def _nothing() -> None:
    """Says nothing, does nothing."""


async def test_virtual_time_cannot_begin_inside_another_loop() -> None:
    with pytest.raises(RuntimeError, match="@in_virtual_time"):
        run_in_virtual_time(_nothing())


async def test_real_time_cannot_be_moved() -> None:
    with pytest.raises(RuntimeError, match="only virtual time"):
        await advance(1)


@pytest.mark.parametrize("number", [1, 2])
@in_virtual_time
async def test_a_test_may_take_arguments(number: int) -> None:
    assert number in (1, 2)


def test_what_a_test_returns_and_raises_comes_out() -> None:
    async def give(value: Any) -> Any:
        await advance(1)
        if isinstance(value, Exception):
            raise value
        return value

    assert run_in_virtual_time(give(5)) == 5
    with pytest.raises(KeyError, match="gone"):
        run_in_virtual_time(give(KeyError("gone")))
