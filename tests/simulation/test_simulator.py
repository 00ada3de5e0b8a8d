"""The engine under every kind of fault, in virtual time; and the simulator itself."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any

import pytest

from stageflow_es.session import events as ev
from stageflow_es.session.evolve import TRANSITIONS
from stageflow_es.stages import BaseStage
from stageflow_es.testing.simulator import FAULTS, Broken, Report, simulate
from stageflow_es.testing.simulator.__main__ import main
from stageflow_es.testing.simulator.acting import STAGES
from stageflow_es.testing.simulator.loop import VirtualLoop
from stageflow_es.testing.simulator.many import Summary, simulate_many

SEEDS = range(250)

OVERLAP = {
    "lease_expired": 4.0,
    "slow_step": 2.0,
    "lease_blind": 5.0,
    "second_engine": 3.0,
    "stage_cancels_itself": 15.0,
    "small_limits": 1.0,
}
"""Two engines that both believe a partition is theirs, while stages take their time and fail."""


def waiting_twice(stage: str) -> dict[str, Any]:
    acts = [["step", "x"], ["wait", "a", None], ["work", 0.6]]
    more = [["step", "x"], ["step", "y"], ["wait", "b", None]]
    return {
        "entry": "first",
        "nodes": [
            {"id": "first", "type": "stage", "stage": stage, "config": {"acts": acts}, "next": "second"},
            {"id": "second", "type": "stage", "stage": stage, "config": {"acts": more}, "next": "end"},
            {"id": "end", "type": "terminal", "result": {"done": True}},
        ],
    }


def overlapping(seed: int) -> Report:
    return simulate(
        seed,
        pipelines=[waiting_twice(stage) for stage in ("Retrying", "Hasty", "Patient", "Strict")],
        stages={stage.stage_name: stage for stage in STAGES},
        inputs=[("a", 1), ("b", 1)],
        actions=("pause", "resume", "retry"),
        sessions=6,
        faults=OVERLAP,
    )


@pytest.fixture(scope="module")
def summary() -> Summary:
    return simulate_many(simulate, SEEDS, jobs=1)


def test_everything_holds_under_every_mixture_of_faults(summary: Summary) -> None:
    assert summary.broken == [], str(summary.broken[0])
    assert summary.runs == len(SEEDS)
    assert summary.sessions > 500


def test_every_kind_of_fault_really_happens(summary: Summary) -> None:
    assert summary.missing == []
    assert summary.faults["conflict"] > 10


def test_every_kind_of_event_happens(summary: Summary) -> None:
    every = {kind.__struct_config__.tag for kind in TRANSITIONS} - {ev.SessionArchived.__struct_config__.tag}
    assert every <= set(summary.event_types)


def test_most_sessions_come_to_their_end(summary: Summary) -> None:
    ended = sum(summary.outcomes.get(kind, 0) for kind in ("completed", "failed", "stopped"))
    assert ended > 0.95 * summary.sessions


def test_two_engines_on_one_partition_strand_no_session() -> None:
    summary = simulate_many(overlapping, range(190, 260), jobs=1)
    assert summary.broken == [], str(summary.broken[0])
    assert summary.faults["conflict"] > 50


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    expected = simulate(19).hash
    program = "from stageflow_es.testing.simulator import simulate; print(simulate(19).hash)"
    for hash_seed in ("1", "7"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


@pytest.mark.parametrize("seed", range(10))
def test_a_seed_run_twice_gives_the_same_trace(seed: int) -> None:
    assert simulate(seed).hash == simulate(seed).hash
    assert simulate(seed).hash != simulate(seed + 1).hash


@pytest.mark.parametrize("seed", [62, 86, 105, 158, 167, 248, 305, 367, 486, 811, 2409, 6435])
def test_a_seed_that_once_broke_something_holds(seed: int) -> None:
    simulate(seed).check()


def test_without_faults_none_happens_and_everything_holds() -> None:
    report = simulate(3, faults=()).check()
    assert set(report.faults) <= {"restart_same_name"}


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no such fault: rain; there are crash_before_request"):
        simulate(1, faults=["rain"])


class Fragile(BaseStage):
    """Counts how often its step really ran, outside of every log."""

    ran: list[str] = []

    async def run(self) -> None:
        await self.step("charge", self.charge)
        await self.wait_input("approval")

    def charge(self) -> bool:
        Fragile.ran.append(self.idempotency_key)
        return True


PIPELINE = {
    "entry": "pay",
    "nodes": [
        {"id": "pay", "type": "stage", "stage": "Fragile", "next": "end"},
        {"id": "end", "type": "terminal", "result": {"paid": True}},
    ],
}


def test_users_run_their_own_stages_under_faults() -> None:
    outside = FAULTS.keys() - {"stage_cancels_itself"}  # which is no fault of the stage's surroundings
    run = partial(
        simulate, pipelines=[PIPELINE], stages={"Fragile": Fragile}, inputs=[("approval", {"ok": True})], faults=outside
    )
    reports = [run(seed).check() for seed in range(10)]
    ends = [_last_of_its_life(report.history(session)) for report in reports for session in report.histories]
    assert len(ends) == 40
    unlucky = [end for end in ends if end["type"] != "session_completed"]
    assert all(end["error"]["type"] == "StageInterrupted" for end in unlucky)  # its engine died four times
    assert len(unlucky) < 4
    assert reports[0].history("s0")[-1]["result"] == {"paid": True}
    assert len(Fragile.ran) >= 40


def _last_of_its_life(history: list[dict[str, Any]]) -> dict[str, Any]:
    """A session's last event but for refusals, which may follow its end."""
    return [event for event in history if event["type"] != "command_rejected"][-1]


def test_a_broken_run_shows_its_seed_and_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSITIONS, ev.SessionStopped, lambda state, event: None)
    report = next(report for report in map(simulate, range(100)) if not report.ok)
    with pytest.raises(Broken, match=rf"BROKEN: (.|\n)*seed {report.seed}: "):
        report.check()


def test_the_command_line_runs_many_seeds_and_one_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "10", "--jobs", "1"]) == 0
    assert "10 runs:" in capsys.readouterr().out
    assert main(["--seed", "4"]) == 0
    assert capsys.readouterr().out.endswith(f"trace {simulate(4).hash}\n")


def test_the_command_line_says_which_seed_broke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(TRANSITIONS, ev.SessionStopped, lambda state, event: None)
    assert main(["--seeds", "100", "--jobs", "1"]) == 1
    assert "again: python -m stageflow_es.testing.simulator --seed" in capsys.readouterr().out


async def test_a_simulation_inside_an_event_loop_is_refused() -> None:
    with pytest.raises(RuntimeError, match="event loop of its own"):
        simulate(1)


def test_an_hour_of_sleep_takes_no_time() -> None:
    from asyncio import sleep
    from random import Random

    loop = VirtualLoop(Random(1))
    task = loop.spawn(loop.world, sleep(3600))
    assert loop.run_until(task.done, 4000)
    assert 3600 <= loop.now / 1_000_000 < 3601
