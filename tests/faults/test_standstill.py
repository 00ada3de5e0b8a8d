"""What excuses a run that begins after its stage's end was stored, and what does not."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from stageflow_es.session import events as ev
from tests.faults.audit import Record, never_again
from tests.faults.processes import Process
from tests.faults.standstill import Frozen, standstills, told
from tests.faults.trace import Trace

S = 1_000_000_000


def begun(key: str, at: int, pid: int = 7) -> Trace:
    return Trace("run", key, "-", at, pid)


def test_a_standstill_excuses_the_run_it_was_in_and_nothing_else() -> None:
    [one] = told(
        "not JSON\n"
        '{"by": "group-commit", "seconds": 9.0, "event": "event_loop_blocked", "timestamp": "1970-01-01T00:00:30Z"}\n'
        '{"by": "stage Blocking at node n3 of session chain-1", "seconds": 5.0, "event": "event_loop_blocked", '
        '"timestamp": "1970-01-01T00:00:10Z"}\n'
    )
    assert (one.began, one.ended) == (5 * S, 10 * S)
    assert one.explains(begun("chain-1::n3:7", 10 * S + S // 10), end=8 * S)
    assert not one.explains(begun("chain-1::n4:7", 10 * S), end=8 * S)
    assert not one.explains(begun("chain-2::n3:7", 10 * S), end=8 * S)
    assert not one.explains(begun("chain-1::n3:7", 12 * S), end=8 * S)
    assert not one.explains(begun("chain-1::n3:7", 10 * S), end=4 * S)


async def test_a_freeze_excuses_what_its_process_begins_first_and_nothing_else(tmp_path: Path) -> None:
    process = await Process(
        "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "log"
    ).start()
    pid = process.pid
    process.send(signal.SIGSTOP)
    process.send(signal.SIGCONT)
    await process.end()
    [(_, stopped, ended)] = process.frozen
    first, second = begun("s::n0:1", ended + 1, pid), begun("t::n0:1", ended + 2, pid)
    other = begun("s::n0:1", ended + 1, pid + 1)
    [one] = standstills([process], [second, begun("r::n0:1", stopped - 1, pid), first, other])
    assert one.explains(first, end=stopped + 1)
    assert not one.explains(first, end=stopped - 1)
    assert not one.explains(second, end=stopped + 1)
    assert not one.explains(other, end=stopped + 1)


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
    one = Frozen(7, 5 * S, 10 * S + 1)
    assert list(never_again(histories, [again], [one])) == []
    assert len(list(never_again(histories, [again, again], [one]))) == 1
    assert len(list(never_again(histories, [again]))) == 1
