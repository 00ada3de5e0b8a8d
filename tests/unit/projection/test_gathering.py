"""How events are gathered into batches: with a reader that says what comes when, and a clock that only it moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stageflow_es.bus.feed_event import FeedEvent
from stageflow_es.projection import gathering
from stageflow_es.projection.feed import FeedReader
from stageflow_es.projection.gathering import EVERY, LOOK, MANY, PAUSE, Gathering


class Times:
    """A clock; sleeping moves it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Reader(FeedReader):
    """Has `rate` events a second, since it was last asked."""

    def __init__(self, times: Times, rate: float, size: int = 10) -> None:
        self.times = times
        self.rate = rate
        self.size = size
        self.began = times.now
        self.given = 0

    async def fetch(self, limit: int, wait: float) -> Sequence[FeedEvent]:
        if wait:
            self.times.now = max(self.times.now, self.began + (self.given + 1.001) / self.rate)
        there = min(int((self.times.now - self.began) * self.rate) - self.given, limit)
        self.given += there
        return [FeedEvent(self.given - there + number, "s", b"x" * self.size) for number in range(there)]

    async def close(self) -> None:
        pass


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Times:
    times = Times()
    monkeypatch.setattr(gathering.asyncio, "get_running_loop", lambda: times)
    monkeypatch.setattr(gathering.asyncio, "sleep", times.sleep)
    return times


def run(gathered: Gathering) -> list[FeedEvent]:
    coroutine = gathered.next()
    try:
        coroutine.send(None)
    except StopIteration as done:
        events: list[FeedEvent] = done.value
        return events
    raise AssertionError("it waits for something else")


def test_a_few_events_wait_for_one_short_look_only(times: Times) -> None:
    assert len(run(Gathering(Reader(times, rate=10)))) == 1, "it does not wait for a second one"
    assert times.slept == [LOOK]


def test_many_events_are_gathered_for_a_while_in_large_pieces(times: Times) -> None:
    began = times.now
    gathered = Gathering(Reader(times, rate=5_000))
    events = run(gathered)
    assert times.now - began == pytest.approx(EVERY, abs=PAUSE)
    assert len(events) == pytest.approx(5_000 * EVERY, rel=0.2)
    assert len(times.slept) <= 2 + EVERY / PAUSE


def test_what_came_while_the_last_batch_was_written_has_waited_already(times: Times) -> None:
    reader = Reader(times, rate=5_000)
    gathered = Gathering(reader)
    run(gathered)
    ended = times.now
    times.now += EVERY / 2
    run(gathered)
    assert times.now - ended == pytest.approx(EVERY, abs=PAUSE)


def test_a_batch_that_took_long_to_write_is_followed_by_one_that_is_not_gathered_at_all(times: Times) -> None:
    reader = Reader(times, rate=5_000)
    gathered = Gathering(reader)
    run(gathered)
    times.now += 2 * EVERY
    times.slept.clear()
    assert len(run(gathered)) == pytest.approx(2 * EVERY * 5_000, rel=0.1)
    assert times.slept == []


def test_a_rush_that_is_over_is_written_without_waiting_for_the_next(times: Times) -> None:
    class Over(Reader):
        async def fetch(self, limit: int, wait: float) -> Sequence[FeedEvent]:
            return await super().fetch(limit, wait) if wait else []

    reader = Over(times, rate=5_000)
    times.now += 0.1
    assert len(run(Gathering(reader))) >= MANY
    assert sum(times.slept) == pytest.approx(LOOK + PAUSE)


def test_a_batch_has_its_limits_in_events_and_in_bytes(times: Times, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(run(Gathering(Reader(times, rate=5_000), limit=300))) == 300
    monkeypatch.setattr(gathering, "BATCH_BYTES", 1_000)
    assert len(run(Gathering(Reader(times, rate=5_000, size=500)))) < 300


def test_nothing_is_what_an_idle_feed_gives(times: Times) -> None:
    class Idle(Reader):
        async def fetch(self, limit: int, wait: float) -> Sequence[FeedEvent]:
            return []

    assert run(Gathering(Idle(times, rate=1))) == []
