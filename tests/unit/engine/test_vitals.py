"""What group commit tells of itself."""

from __future__ import annotations

from msgspec import structs

from stageflow_es.engine.vitals import BOUNDS, Commits, Ever, Tally


def test_a_tally_tells_of_the_rounds_since_it_was_asked_last() -> None:
    now = 10.0
    tally = Tally(lambda: now)
    for number in range(1, 101):
        began, now = now, now + number / 1000
        tally.round(number, began)
    lately = Commits(events=5050, rounds=100, seconds=5.05, largest=100, p50=50.0, p99=99.0)
    assert structs.replace(tally.take(), ever=None) == lately
    now += 2
    assert structs.replace(tally.take(), ever=None) == Commits(seconds=2.0)


def test_what_was_made_durable_at_all_goes_on_growing_however_often_it_is_looked_at() -> None:
    now = 0.0
    tally = Tally(lambda: now)
    for took in (0.001, 0.002, 60.0):
        now += took
        tally.round(2, now - took)
        tally.take()
    assert tally.take().ever == Ever(
        events=6, rounds=3, seconds=60.003, within=dict.fromkeys(map(str, BOUNDS), 2) | {"0.001": 1}
    )
