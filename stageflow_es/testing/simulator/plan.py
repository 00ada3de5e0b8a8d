"""What is asked of the engines in a run: pipelines, stages, and who sends which command when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec

from stageflow_es.engine.ports import CommandKind
from stageflow_es.session.commands import ACTIONS, Action
from stageflow_es.stages import BaseStage, get_stages
from stageflow_es.testing.generate import random_pipeline
from stageflow_es.testing.simulator.acting import STAGES

TYPES = ("a", "b")
BESIDE = 0.4
"""How often a run has a session with stages that never await beside others that wait."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A command a client sends `at` seconds into the run. One with an `id` may be sent again."""

    at: float
    kind: CommandKind
    session: str
    data: bytes
    id: str | None = None


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`definitions` are registered by name before anything is sent; `inputs` answer whatever still waits in the end."""

    commands: list[Planned]
    stages: dict[str, type[BaseStage]]
    definitions: dict[str, dict[str, Any]] = {}
    inputs: list[tuple[str, Any]] = []


def generated(random: Random) -> Plan:
    """Pipelines of every node type and stages that do everything, with commands at random, sensible or not."""
    makers = [_Clients(random, f"s{number}") for number in range(random.randint(2, 6))]
    named = _document(random)
    commands = [command for maker in makers for command in maker.commands(_document(random))]
    commands += _strangers(random)
    if random.random() < BESIDE:
        commands += _Clients(random, "beside").commands(_beside(random))
    stages = {stage.stage_name: stage for stage in STAGES} | {"IncrementStage": get_stages()["IncrementStage"]}
    return Plan(commands=commands, stages=stages, definitions={"named": named}, inputs=[("a", 1), ("b", 2)])


def given(
    random: Random,
    pipelines: Sequence[dict[str, Any]],
    stages: Mapping[str, type[BaseStage]],
    *,
    payload: dict[str, Any],
    inputs: Sequence[tuple[str, Any]],
    actions: Sequence[Action],
    sessions: int,
) -> Plan:
    """Sessions of these pipelines; each is sent every input once, at a time of the seed's choosing, and each action
    with a chance of one in three."""
    commands: list[Planned] = []
    for number in range(sessions):
        client = _Clients(random, f"s{number}")
        commands.append(client.start({"pipeline": pipelines[number % len(pipelines)], "payload": payload}))
        commands += [client.input(type_, value) for type_, value in inputs]
        commands += [client.control(action) for action in actions if random.random() < 0.33]
    return Plan(commands=commands, stages=dict(stages), inputs=list(inputs))


def _document(random: Random) -> dict[str, Any]:
    document = random_pipeline(random, _cast, random.choice([1, 2, 2, 3]))
    document["max_transitions"] = 300
    return document


def _beside(random: Random) -> dict[str, Any]:
    """Branches of stages that are over as soon as they begin, and others of stages that wait now and again."""
    nodes: list[dict[str, Any]] = []
    children: list[str] = []
    for branch in range(random.randint(2, 4)):
        brief = branch == 0 or (branch > 1 and random.random() < 0.5)
        length = random.randint(3, 12) if brief else random.randint(1, 2)
        names = [f"b{branch}.{place}" for place in range(length)]
        for name, following in zip(names, [*names[1:], None], strict=True):
            acts = [] if brief else [_pause(random) for _ in range(random.randint(2, 6))]
            stage = "Brief" if brief else "Work"
            nodes.append({"id": name, "type": "stage", "stage": stage, "config": {"acts": acts}, "next": following})
        children.append(names[0])
    both = {"id": "both", "type": "parallel", "children": children, "next": "end"}
    return {"entry": "both", "nodes": [both, *nodes, {"id": "end", "type": "terminal"}]}


def _pause(random: Random) -> list[Any]:
    return random.choice([["wait", random.choice(TYPES), None], ["sleep", random.choice([0.0, 0.01, 0.1])]])


def _cast(random: Random) -> tuple[str, dict[str, Any]]:
    stage = random.choice(STAGES)
    count = random.choice([0, 1, 1, 2, 3])
    return stage.stage_name, {"acts": [_act(random) for _ in range(count)]}


def _act(random: Random) -> list[Any]:
    kind = random.choice(
        ["step"] * 4 + ["emit"] * 2 + ["wait"] * 4 + ["sleep"] * 2 + ["work"] * 2 + ["fail"] * 2 + ["hang", "both"]
    )
    match kind:
        case "wait":
            return ["wait", random.choice(TYPES), random.choice([None, 0.3, 3.0, 15.0, 15.0])]
        case "sleep" | "work":
            return [kind, random.choice([0.0, 0.05, 0.6, 0.6, 2.0, 7.0])]
        case "fail" | "hang":
            return [kind, random.choice([0, 1, 1, 1, 2, 3])]
        case "both":
            return ["both", random.choice(TYPES), random.choice([0.5, 4.0]), random.choice([0.1, 2.0])]
        case _:
            return [kind, random.choice(["x", "y"])]


class _Clients:
    """Makes the commands to one session."""

    def __init__(self, random: Random, session: str) -> None:
        self._random = random
        self._session = session
        self._count = 0

    def commands(self, document: dict[str, Any]) -> list[Planned]:
        random = self._random
        payload = {"items": random.choice([[1, 2, 3], [1], [], "none", [5, 6]]), "value": random.randrange(4)}
        pipeline = random.choice([*[document] * 12, "named", "named", "named", "no such"])
        start = {"pipeline": pipeline, "payload": payload, "paused": random.random() < 0.1, "labels": {"k": "v"}}
        commands = [self.start(start)]
        if random.random() < 0.15:
            commands.append(self.start(start))
        for _ in range(random.randrange(8)):
            commands.append(self._any())
        return commands

    def _any(self) -> Planned:
        random = self._random
        kind = random.random()
        if kind < 0.5:
            return self.input(random.choice(TYPES), random.choice([1, 2, "wrong", "wrong", None]))
        if kind < 0.55:
            return self.input("command", {"name": random.choice([*ACTIONS, "dance"])})
        if kind < 0.6:
            data = random.choice([b"{", b'{"type": 7}', b'{"action": "dance"}', b"\xff"])
            return self._planned(random.choice(["input", "control", "start"]), data)
        action = random.choice([*ACTIONS, "pause", "resume", "resume", "retry", "retry", "skip", "skip", "skip"])
        return self.control(action, random.choice([None, None, None, "", "p1/s2"]) if action == "skip" else None)

    def start(self, body: dict[str, Any]) -> Planned:
        return self._planned("start", msgspec.json.encode(body), latest=8)

    def input(self, type_: str, payload: Any) -> Planned:
        return self._planned("input", msgspec.json.encode({"type": type_, "payload": payload}))

    def control(self, action: Action, scope: str | None = None) -> Planned:
        return self._planned("control", msgspec.json.encode({"action": action, "scope": scope}))

    def _planned(self, kind: Any, data: bytes, latest: float = 30) -> Planned:
        self._count += 1
        id = f"{self._session}-{self._count}" if self._random.random() < 0.8 else None
        at = self._random.uniform(0, latest)
        return Planned(at=at, kind=kind, session=self._session, data=data, id=id)


def _strangers(random: Random) -> list[Planned]:
    """Commands to sessions nobody starts."""
    client = _Clients(random, "nobody")
    return [client.control("stop") for _ in range(random.randrange(3))] + [client.input("a", 1)]
