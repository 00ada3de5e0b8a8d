"""The simulator finds faults: each rule of the engine and the core, broken on purpose, shows within a few seeds."""

from __future__ import annotations

import pytest

from stageflow_es.engine.runner import StageRun
from stageflow_es.testing.simulator import simulate
from tests.simulation.mutations import MUTATIONS
from tests.simulation.test_simulator import overlapping

SEEDS = range(200)


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulator_brings_a_broken_rule_to_light(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = MUTATIONS[name]
    mutation.apply(monkeypatch)
    assert any(not simulate(seed, faults=mutation.faults).ok for seed in SEEDS)


def test_the_simulator_brings_a_run_that_was_overtaken_and_reports_to_light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StageRun, "overtaken", lambda self, state: False)
    assert any(not overlapping(seed).ok for seed in range(165, 660))
