"""What excuses a run that begins after its stage's end was stored, and what does not."""

from __future__ import annotations

from pathlib import Path

from stageflow_es.session import events as ev
from tests.faults.audit import Record, Trace, never_again
from tests.faults.standstill import Standstill, standstills

S = 1_000_000_000


def test_a_standstill_excuses_the_run_it_was_in_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    log.write_text(
        "not JSON\n"
        '{"by": "group-commit", "seconds": 9.0, "event": "event_loop_blocked", "timestamp": "1970-01-01T00:00:30Z"}\n'
        '{"by": "stage Blocking at node n3 of session chain-1", "seconds": 5.0, "event": "event_loop_blocked", '
        '"timestamp": "1970-01-01T00:00:10Z"}\n'
    )
    [one] = standstills([log, tmp_path / "missing.log"])
    assert (one.began, one.ended) == (5 * S, 10 * S)
    assert one.explains("chain-1::n3:7", at=10 * S + S // 10, end=8 * S)
    assert not one.explains("chain-1::n4:7", at=10 * S, end=8 * S)
    assert not one.explains("chain-2::n3:7", at=10 * S, end=8 * S)
    assert not one.explains("chain-1::n3:7", at=12 * S, end=8 * S)
    assert not one.explains("chain-1::n3:7", at=10 * S, end=4 * S)


def test_a_standstill_excuses_one_step_begun_again_and_not_a_second() -> None:
    ended = ev.StepCompleted(
        session="s",
        n=3,
        prev="",
        at="1970-01-01T00:00:08Z",
        by="two",
        cause="run:s#1.1",
        scope="",
        node="n0",
        key="step:a:0",
        name="a",
    )
    histories = {"s": [Record(b"", ended, 8 * S, 1)]}
    again = Trace("step", "s::n0:1", "a", 10 * S + 1, 7)
    one = Standstill("s", "n0", 5 * S, 10 * S)
    assert list(never_again(histories, [again], [one])) == []
    assert len(list(never_again(histories, [again, again], [one]))) == 1
    assert len(list(never_again(histories, [again]))) == 1
