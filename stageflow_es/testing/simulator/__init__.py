"""The engine under everything that can go wrong, in virtual time, from one seed.

    report = simulate(7)          # generated pipelines, every kind of fault
    report.check()                # raises Broken, with the last steps, if anything did not hold

    python -m stageflow_es.testing.simulator --seed 7      the same run again, to the last step

loop       virtual time: an event loop of processes that freeze and die
weather    which faults happen, by name
network    requests that get lost, arrive late or twice, or are not answered; `server` is the other end
ports      the engine's ports over that network, `bus/memory/` behind them; `snapshots` are good and bad ones
plan       what is asked: pipelines, stages, commands; `acting` are the stages of generated pipelines
stagehand  stages watched, and made to misbehave
machines   the engines, each in a process: how they come, what befalls them, how they go
simulation one run, from the first start to rest; `hush` keeps the engine's log in the trace
witness    what must hold all the time; `final` what must hold at the end; `history` of each history by itself
many       many seeds on all cores
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from stageflow_es.session.commands import Action
from stageflow_es.stages import BaseStage, get_stages
from stageflow_es.testing.simulator.plan import generated, given
from stageflow_es.testing.simulator.report import Broken, Report
from stageflow_es.testing.simulator.simulation import Faults, Simulation
from stageflow_es.testing.simulator.weather import FAULTS

__all__ = ["FAULTS", "Broken", "Report", "simulate"]


def simulate(
    seed: int,
    *,
    pipelines: Sequence[dict[str, Any]] | None = None,
    stages: Mapping[str, type[BaseStage]] | None = None,
    payload: dict[str, Any] | None = None,
    inputs: Sequence[tuple[str, Any]] = (),
    actions: Sequence[Action] = (),
    sessions: int = 4,
    faults: Faults = None,
    whole: bool = False,
) -> Report:
    """Run engines under faults until everything is at rest, and say whether all held that must.

    `pipelines`: definitions, each for some of the `sessions`, started with `payload`, their stages from `stages` (by
    name; None: all that are registered); None: generated ones. Each session is sent each of `inputs` (type, payload)
    and some of the `actions`. `faults`: which may happen (names in `FAULTS`, or each with how many times as likely as
    usual it is); None: a mixture of the seed's choosing. `whole`: the report has every line of the trace.

    The same arguments give the same run to the last step, as long as the stages use no clock, randomness, thread or
    connection of their own. Call it from plain code: it runs an event loop of its own.
    """
    random = Random(f"{seed}/plan")
    if pipelines is None:
        plan = generated(random)
    else:
        plan = given(
            random,
            pipelines,
            get_stages() if stages is None else stages,
            payload=payload or {},
            inputs=inputs,
            actions=actions,
            sessions=sessions,
        )
    return Simulation(seed, plan, faults, whole=whole).run()
