"""How long, and how many, runs wait in memory. Time is the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from stageflow_es.engine.waiting_room import WaitingRoom


class Guest:
    """Notes that it was parked."""

    def __init__(self) -> None:
        self.parked = False

    def park(self) -> None:
        self.parked = True


Pass = Callable[[float], None]


@pytest.fixture
async def wait(monkeypatch: pytest.MonkeyPatch) -> Pass:
    """Lets seconds pass: what was to be called later is called in its order, and at its time."""
    loop = asyncio.get_running_loop()
    now = [100.0]
    calls: list[tuple[float, asyncio.TimerHandle]] = []
    original = loop.call_later

    def call_later(delay: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        handle = original(10**6, callback)
        calls.append((now[0] + delay, handle))
        return handle

    def wait(seconds: float) -> None:
        end = now[0] + seconds
        while due := sorted((at, number) for number, (at, _) in enumerate(calls) if at <= end):
            at, number = due[0]
            _, handle = calls.pop(number)
            now[0] = max(now[0], at)
            if not handle.cancelled():
                handle._run()
                handle.cancel()
        now[0] = end

    monkeypatch.setattr(loop, "time", lambda: now[0])
    monkeypatch.setattr(loop, "call_later", call_later)
    return wait


def parked(guests: list[Guest]) -> list[bool]:
    return [guest.parked for guest in guests]


async def test_each_is_parked_when_it_has_waited_long_enough(wait: Pass) -> None:
    room = WaitingRoom(1.0, 10)
    guests = [Guest() for _ in range(3)]
    for guest in guests:
        room.enter(guest)
        wait(0.25)
    wait(0.2)
    assert parked(guests) == [False, False, False]
    wait(0.1)
    assert parked(guests) == [True, False, False]
    wait(0.5)
    assert parked(guests) == [True, True, True]
    assert guests[0] not in room


async def test_one_that_leaves_is_not_parked_and_one_that_comes_again_waits_from_then(wait: Pass) -> None:
    room = WaitingRoom(1.0, 10)
    gone, back = Guest(), Guest()
    room.enter(gone)
    room.enter(back)
    wait(0.5)
    room.leave(gone)
    room.enter(back)
    wait(0.9)
    assert parked([gone, back]) == [False, False]
    wait(0.2)
    assert parked([gone, back]) == [False, True]


async def test_where_there_is_no_room_the_longest_waiting_are_parked_at_once(wait: Pass) -> None:
    room = WaitingRoom(1.0, 2)
    guests = [Guest() for _ in range(6)]
    *first, late = guests
    for guest in first:
        room.enter(guest)
    assert not any(parked(guests)), "nobody is parked by the one that comes in"
    wait(0)
    assert parked(guests) == [True, True, True, False, False, False]
    room.enter(late)
    wait(0)
    assert parked(guests) == [True, True, True, True, False, False]
    wait(1)
    assert all(parked(guests))


async def test_the_time_still_runs_out_after_the_room_was_crowded(wait: Pass) -> None:
    room = WaitingRoom(1.0, 1)
    first, second, third = Guest(), Guest(), Guest()
    room.enter(first)
    room.enter(second)
    wait(0)
    room.leave(second)
    wait(2)
    room.enter(third)
    wait(1)
    assert parked([first, second, third]) == [True, False, True]


async def test_for_ever_means_that_nobody_is_parked(wait: Pass) -> None:
    room = WaitingRoom(float("inf"), 0)
    guest = Guest()
    room.enter(guest)
    wait(10**9)
    assert not guest.parked


async def test_a_closed_room_parks_nobody(wait: Pass) -> None:
    room = WaitingRoom(1.0, 10)
    guest = Guest()
    room.enter(guest)
    room.close()
    wait(5)
    assert not guest.parked
