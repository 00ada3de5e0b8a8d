"""What holds for every pipeline and every run of it, over pipelines and runs made from seeds."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from stageflow_es.pipeline import Pipeline, StageSpec, validate
from stageflow_es.session import State, apply, decide
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.evolve import TRANSITIONS
from stageflow_es.session.fork import objections, origin_of
from stageflow_es.session.snapshot import dump, load
from stageflow_es.session.verify import verify
from stageflow_es.testing.generate import random_pipeline
from stageflow_es.testing.scenario import Scenario

SEEDS = range(150)
STAGES = {name: StageSpec(stage_name=name, skipable=True) for name in ("Work", "IncrementStage")}
MOVES = 400


class Walk:
    """A session driven at random: its stages report whatever they like, and commands come in between."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        document = random_pipeline(self.random)
        assert [p for p in validate(document) if p.severity == "error"] == []
        self.scenario = Scenario(document, STAGES)
        self.commands: list[cmd.Command] = []

    def run(self) -> Scenario:
        s = self.scenario
        self.do(cmd.Start(at=s.at, seq=s.next_seq(), payload={"items": [1, 2, 3], "value": 1}))
        return self.go_on()

    def fork(self, state: State) -> Scenario:
        """Walk on from where another one stood."""
        s = self.scenario = Scenario(state.pipeline, STAGES)
        s.state = State("f", state.pipeline)
        self.do(cmd.Start(at=s.after(1000).at, seq=s.next_seq(), fork=origin_of(state)))
        return self.go_on()

    def go_on(self) -> Scenario:
        s = self.scenario
        for _ in range(MOVES):
            if s.state.ended:
                break
            s.after(1)
            command = self.next_command()
            if command is not None:
                self.do(command)
        return s

    def do(self, command: cmd.AnyCommand) -> None:
        self.commands.append(command)
        self.scenario.apply(command)

    def next_command(self) -> cmd.AnyCommand | None:
        s, random = self.scenario, self.random
        if s.state.outcome == "failed" or random.random() < 0.08:
            return self.bus_command()
        if s.state.timers and (random.random() < 0.2 or not self.live()):
            return cmd.FireTimer(at=s.at, timer=random.choice(list(s.state.timers)))
        live = self.live()
        return self.report(random.choice(live)) if live else self.bus_command()

    def live(self) -> list[str]:
        state = self.scenario.state
        return [path for path, run in state.runs.items() if run.retry_timer is None]

    def bus_command(self) -> cmd.AnyCommand:
        s, random = self.scenario, self.random
        common: dict[str, Any] = {"at": s.at, "seq": s.next_seq()}
        if s.state.outcome == "failed":
            return cmd.Control(**common, action="retry")
        if s.state.paused:
            return cmd.Control(**common, action="resume")
        kind = random.randrange(6)
        if kind == 0:
            return cmd.Control(**common, action="pause")
        if kind == 1:
            scope = random.choice(list(s.state.scopes))
            return cmd.Control(**common, action="skip", scope=scope)
        if kind == 2:
            return cmd.Control(**common, action="stop" if random.random() < 0.1 else "retry")
        return cmd.Input(**common, type=random.choice(["a", "b"]), payload=random.choice([1, "x"]))

    def report(self, path: str) -> cmd.AnyCommand:
        s, random = self.scenario, self.random
        run = s.state.runs[path]
        common: dict[str, Any] = {"at": s.at, "run": run.id(path)}
        kind = random.randrange(14)
        node: Any = s.state.scopes[path].pipeline.node(run.node)
        key = str(random.randrange(3))
        if node.stage == "IncrementStage":
            target = node.outputs["value"]
            before = run.arguments["current"] or 0
            return cmd.CompleteStage(**common, writes={target: before + 1})
        if kind == 0:
            return cmd.EmitEvent(**common, key=f"emit:e:{key}", name="e", payload={})
        if kind == 1:
            return cmd.RecordStep(**common, key=f"step:s:{key}", name="s", value=random.randrange(9))
        if kind == 2:
            schema = random.choice([None, {"type": "integer"}])
            timeout = random.choice([None, 5.0])
            return cmd.OpenWait(**common, key=f"wait:a:{key}", type="a", schema=schema, timeout=timeout)
        if kind == 3:
            return cmd.StartSleep(**common, key=f"sleep::{key}", seconds=3)
        if kind == 4:
            retries, delay = random.randrange(3), random.choice([0, 2])
            return cmd.FailStage(
                **common, error_type="E", message="m", retries=retries, delay=delay, timed_out=delay > 0
            )
        if kind == 5:
            return cmd.InterruptStage(**common, known=run.interruptions)
        writes = {path: random.randrange(9) for path in node.outputs.values()}
        return cmd.CompleteStage(**common, writes=writes)


def folded(pipeline: Pipeline, history: list[bytes], session: str = "s") -> State:
    state = State(session, pipeline)
    for data in history:
        apply(state, data)
    return state


def test_the_fold_is_total() -> None:
    assert set(TRANSITIONS) == set(ev.AnyEvent.__args__)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_walk_folds_back_to_its_state_from_any_prefix_and_any_snapshot(seed: int) -> None:
    s = Walk(seed).run()
    whole = dump(s.state)
    assert dump(folded(s.pipeline, s.history)) == whole
    for cut in {1, len(s.history) // 3, len(s.history) // 2, len(s.history) - 1} - {0}:
        state = load(dump(folded(s.pipeline, s.history[:cut])), s.pipeline)
        for data in s.history[cut:]:
            apply(state, data)
        assert dump(state) == whole


@pytest.mark.parametrize("seed", SEEDS)
def test_a_command_given_again_leads_to_nothing(seed: int) -> None:
    walk = Walk(seed)
    s = walk.run()
    before = dump(s.state)
    for command in walk.commands:
        assert not decide(s.state, command, STAGES)
    assert dump(s.state) == before


@pytest.mark.parametrize("seed", SEEDS)
def test_after_its_end_a_session_makes_no_transition_and_while_it_lives_something_is_outstanding(seed: int) -> None:
    s = Walk(seed).run()
    history = [ev.decode(data) for data in s.history]
    endings = [i for i, event in enumerate(history) if isinstance(event, (ev.SessionCompleted, ev.SessionStopped))]
    assert len(endings) <= 1
    for i in endings:
        assert all(isinstance(event, (ev.CommandRejected, ev.SkipDenied)) for event in history[i + 1 :])
    if s.state.active:
        assert s.state.runs, "it lives, and nothing can ever happen"
    assert not decide(s.state, cmd.Advance(at=s.at), STAGES)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fork_at_any_event_is_a_session_like_every_other(seed: int) -> None:
    s = Walk(seed).run()
    for cut in sorted(Random(seed).sample(range(1, len(s.history) + 1), min(2, len(s.history)))):
        state = folded(s.pipeline, s.history[:cut])
        before = dump(state)
        if objections(state, s.pipeline):
            assert state.ended
            continue
        fork = Walk(seed).fork(state)
        assert dump(state) == before
        assert dump(folded(s.pipeline, fork.history, "f")) == dump(fork.state)
        assert seed % 5 or verify(s.pipeline, fork.history)
        assert fork.state.runs or not fork.state.active, "it lives, and nothing can ever happen"


def test_the_walks_visit_every_kind_of_event() -> None:
    seen: set[str] = set()
    for seed in SEEDS:
        s = Walk(seed).run()
        seen |= {msgspec.json.decode(data)["type"] for data in s.history}
    every = {kind.__struct_config__.tag for kind in TRANSITIONS}
    assert every - seen == {"session_archived"}
