"""Definitions that drawings are tested with."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[3] / "examples"
ORDER: dict[str, Any] = json.loads((EXAMPLES / "order_approval.json").read_text())


def stage(id: str, next: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "Work", "next": next, **more}


def end(id: str = "end", **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "terminal", **more}


def choice(id: str, *ways: tuple[Any, str], otherwise: str | None = None) -> dict[str, Any]:
    conditions = [{"if": rule, "then": then} for rule, then in ways]
    return {"id": id, "type": "condition", "conditions": conditions, "else": otherwise}


def pipeline(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"entry": nodes[0]["id"], "nodes": list(nodes), **more}


def large(kind: str, count: int = 2_000) -> dict[str, Any]:
    """A definition of that many nodes, of a kind that is hard on a layout."""
    ids = [f"n{index}" for index in range(count - 2)]
    following = [*ids[1:], "end"]
    if kind == "chain":
        nodes = [stage(id, then) for id, then in zip(ids, following, strict=True)]
    elif kind == "fallbacks":  # all of them far away
        nodes = [stage(id, then, fallback="failed") for id, then in zip(ids, following, strict=True)]
    elif kind == "fan":
        children = {"id": "n0", "type": "parallel", "children": ids[1:], "next": "end"}
        nodes = [children, *(stage(id, "end") for id in ids[1:])]
    elif kind == "loops":  # each leads back to the beginning
        nodes = [choice(id, (True, ids[0]), otherwise=then) for id, then in zip(ids, following, strict=True)]
    else:  # anywhere
        chance = random.Random(7)
        nodes = [
            choice(id, (True, chance.choice(ids)), (False, then), otherwise=chance.choice(ids))
            for id, then in zip(ids, following, strict=True)
        ]
    return pipeline(*nodes, end(), end("failed"))


LARGE = ["chain", "fallbacks", "fan", "loops", "tangle"]
