"""The pipelines of the storm, with all kinds of nodes, and what must come out of each."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

VALUE = {"value": "value"}
END: dict[str, Any] = {"id": "end", "type": "terminal", "artifacts": ["value"]}


def stage(id_: str, kind: str, then: str | None, path: str = "value", **config: Any) -> dict[str, Any]:
    """A stage node that counts `path` up."""
    return {
        "id": id_,
        "type": "stage",
        "stage": kind,
        "config": config,
        "arguments": {"value": path},
        "outputs": {"value": path},
        "next": then,
    }


def chain(*kinds: str, **config: Any) -> dict[str, Any]:
    """The stages of those kinds in a row; `value` counts them."""
    names = [f"n{i}" for i in range(len(kinds))] + ["end"]
    nodes = [stage(here, kind, then, **config) for kind, (here, then) in zip(kinds, pairwise(names), strict=True)]
    return {"entry": "n0", "nodes": [*nodes, END]}


def asking(count: int, kind: str = "Ask") -> dict[str, Any]:
    """One stage that waits for so many answers and gives them, in order."""
    ask = {"id": "ask", "type": "stage", "stage": kind, "config": {"count": count}, "next": "end"}
    ask["outputs"] = {"answers": "answers"}
    return {"entry": "ask", "nodes": [ask, {"id": "end", "type": "terminal", "artifacts": ["answers"]}]}


FAN: dict[str, Any] = {
    "entry": "fan",
    "nodes": [
        {"id": "fan", "type": "parallel", "children": ["a0", "b0", "c0"], "next": "after"},
        *(
            node
            for name, kind in (("a", "Slow"), ("b", "Steps"), ("c", "Blocking"))
            for node in (
                stage(f"{name}0", kind, f"{name}1", path=name),
                stage(f"{name}1", "Quick", None, path=name),
            )
        ),
        stage("after", "Quick", "end"),
        {"id": "end", "type": "terminal", "artifacts": ["a", "b", "c", "value"]},
    ],
}
FANNED = {"a": 2, "b": 2, "c": 2, "value": 1}

RACE: dict[str, Any] = {
    "entry": "race",
    "nodes": [
        {"id": "race", "type": "parallel", "policy": "any", "children": ["fast", "slow"], "next": "after"},
        stage("fast", "Slow", None, path="fast"),
        stage("slow", "Nap", None, path="slow", seconds=3600),
        stage("after", "Quick", "end"),
        {"id": "end", "type": "terminal", "artifacts": ["fast", "value"]},
    ],
}
RACED = {"fast": 1, "value": 1}

EACH: dict[str, Any] = {
    "entry": "each",
    "nodes": [
        {
            "id": "each",
            "type": "map",
            "items": "items",
            "body": "grow",
            "mode": "parallel",
            "max_concurrency": 3,
            "item_path": "item",
            "output_map": {"item": "grown"},
            "next": "again",
        },
        stage("grow", "Slow", "grow2", path="item"),
        stage("grow2", "Steps", None, path="item"),
        {
            "id": "again",
            "type": "map",
            "items": "grown",
            "body": "grow3",
            "mode": "sequential",
            "item_path": "item",
            "output_map": {"item": "grown"},
            "next": "end",
        },
        stage("grow3", "Quick", None, path="item"),
        {"id": "end", "type": "terminal", "artifacts": ["grown"]},
    ],
}

NESTED: dict[str, Any] = {
    "entry": "before",
    "nodes": [
        stage("before", "Quick", "inner"),
        {
            "id": "inner",
            "type": "subpipeline",
            "subpipeline_id": "child",
            "inputs": {"value": "value"},
            "artifact_outputs": {"value": "value"},
            "next": "often",
        },
        {
            "id": "often",
            "type": "condition",
            "conditions": [{"if": {"<": [{"var": "value"}, 9]}, "then": "before"}],
            "else": "end",
        },
        END,
    ],
    "subpipelines": {"child": chain("Slow", "Steps")},
}
