"""Pipelines made from a seed: every node type, nested in each other, with loops, fallbacks and failures.

The same `random.Random` state gives the same pipeline. All of them are valid and end, if their stages do.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

Node = dict[str, Any]
Cast = Callable[[Random], tuple[str, dict[str, Any]]]
"""Chooses the stage of a node, and its config."""


class Maker:
    """Makes one pipeline document. `stage` is the name of the stage every stage node runs, or who chooses it."""

    def __init__(self, random: Random, stage: str | Cast = "Work", depth: int = 3) -> None:
        self._random = random
        self._stage = stage
        self._depth = depth
        self._nodes: list[Node] = []
        self._subpipelines: dict[str, Any] = {}
        self._count = 0

    def document(self) -> dict[str, Any]:
        """The whole definition. Its context should have a list at `items`."""
        end = self._add("terminal", result={"done": True}, artifacts=["value", "all", "sub"])
        entry = self._chain(end, self._depth, self._random.randint(1, 3))
        document: dict[str, Any] = {"entry": entry, "nodes": self._nodes, "max_transitions": 5000}
        if self._subpipelines:
            document["subpipelines"] = self._subpipelines
        return document

    def _add(self, kind: str, **fields: Any) -> str:
        self._count += 1
        name = f"{kind[0]}{self._count}"
        self._nodes.append({"id": name, "type": kind, **fields})
        return name

    def _chain(self, following: str | None, depth: int, length: int) -> str:
        """Some blocks in a row that lead to `following`; the id of the first."""
        entry = following
        for _ in range(length):
            entry = self._block(entry, depth)
        assert entry is not None
        return entry

    def _block(self, following: str | None, depth: int) -> str:
        blocks = [self._stage_node]
        if depth > 0:
            blocks += [self._condition, self._loop, self._parallel, self._map, self._subpipeline]
        return self._random.choice(blocks)(following, depth - 1)

    def _stage_node(self, following: str | None, depth: int) -> str:
        fields: dict[str, Any] = {
            "arguments": {"value": self._random.choice(["value", "item", "payload.value", "no.where"])},
            "outputs": {"value": self._random.choice(["value", "deep.value", "list.0"])},
        }
        if self._random.random() < 0.3 and following is not None:
            fields["fallback"] = following
        name, config = (self._stage, {}) if isinstance(self._stage, str) else self._stage(self._random)
        return self._add("stage", stage=name, config={"seed": self._count, **config}, next=following, **fields)

    def _condition(self, following: str | None, depth: int) -> str:
        target = self._chain(following, depth, 1)
        other = self._chain(following, depth, 1) if following is None or self._random.random() < 0.5 else following
        rule = {"==": [{"%": [{"+": [{"var": ["value", 0]}, 0]}, 2]}, 0]}
        return self._add("condition", conditions=[{"if": rule, "then": target}], **{"else": other})

    def _loop(self, following: str | None, depth: int) -> str:
        """A stage that counts, again and again until the count is reached."""
        counter = f"count{self._count}"
        after = following if following is not None else self._stage_node(None, 0)
        test = f"c{self._count + 2}"
        step = self._add(
            "stage",
            stage="IncrementStage",
            arguments={"current": counter},
            outputs={"value": counter},
            next=test,
        )
        rule = {"<": [{"var": counter}, self._random.randint(1, 4)]}
        assert self._add("condition", conditions=[{"if": rule, "then": step}], **{"else": after}) == test
        return step

    def _parallel(self, following: str | None, depth: int) -> str:
        children = [self._chain(None, depth, 1) for _ in range(self._random.randint(1, 4))]
        fields: dict[str, Any] = {"policy": self._random.choice(["all", "all", "any"])}
        if self._random.random() < 0.5:
            fields["cancel_on_error"] = self._random.random() < 0.5
        return self._add("parallel", children=children, next=following, **fields)

    def _map(self, following: str | None, depth: int) -> str:
        body = self._chain(None, depth, 1)
        fields: dict[str, Any] = {"mode": self._random.choice(["sequential", "parallel"])}
        if self._random.random() < 0.3:
            fields["max_concurrency"] = 2
        if self._random.random() < 0.5:
            fields["cancel_on_error"] = False
        return self._add(
            "map", items="items", body=body, index_path="index", output_map={"value": "all"}, next=following, **fields
        )

    def _subpipeline(self, following: str | None, depth: int) -> str:
        name = f"sub{self._count}"
        self._subpipelines[name] = Maker(self._random, self._stage, depth).document()
        return self._add(
            "subpipeline",
            subpipeline_id=name,
            inputs={"value": "value", "items": "items"},
            artifact_outputs={"sub": "value"},
            result_output="returned",
            next=following,
        )


def random_pipeline(random: Random, stage: str | Cast = "Work", depth: int = 3) -> dict[str, Any]:
    """A pipeline document whose stage nodes run `stage` (or what it chooses), and IncrementStage in loops."""
    return Maker(random, stage, depth).document()
