"""What excuses a run that begins after its stage's end was stored, and what does not."""

from __future__ import annotations

from pathlib import Path

from tests.faults.standstill import standstills

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
