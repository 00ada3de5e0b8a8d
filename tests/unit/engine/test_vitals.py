"""What group commit tells of itself."""

from __future__ import annotations

from stageflow_es.engine.vitals import Commits, Tally


def test_a_tally_tells_of_the_rounds_since_it_was_asked_last() -> None:
    now = 10.0
    tally = Tally(lambda: now)
    for number in range(1, 101):
        began, now = now, now + number / 1000
        tally.round(number, began)
    assert tally.take() == Commits(events=5050, rounds=100, seconds=5.05, largest=100, p50=50.0, p99=99.0)
    now += 2
    assert tally.take() == Commits(seconds=2.0)
