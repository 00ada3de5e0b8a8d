"""Setting, copying, counting and merging values."""

from __future__ import annotations

from math import isfinite

from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import expect, given, number
from stageflow_es.stages.registry import register_stage


@register_stage("SetValueStage")
class SetValueStage(BaseStage):
    """
    description: "Writes a value: the argument's, else the configured one."
    arguments:
      value: {type: any, optional: true, description: "the value; wins over the config"}
    config:
      value: {type: any, optional: true, description: "the value where the argument is missing; null if not given"}
    outputs:
      value: {type: any, description: "what was written"}
    """

    category = "builtin.vars"

    async def run(self) -> None:
        if "value" not in self.arguments_paths and "value" not in self.config:
            raise ValueError("SetValueStage needs a value, as an argument or in its config")
        self.set_outputs({"value": given(self).get("value", self.config.get("value"))})


@register_stage("CopyValueStage")
class CopyValueStage(BaseStage):
    """
    description: "Copies a value to another place."
    arguments:
      value: {type: any, optional: true, description: "what to copy"}
    config:
      default: {type: any, optional: true, description: "what to write where the argument is missing"}
    outputs:
      value: {type: any, description: "the copy"}
    """

    category = "builtin.vars"

    async def run(self) -> None:
        self.set_outputs({"value": given(self).get("value", self.config.get("default"))})


@register_stage("IncrementStage")
class IncrementStage(BaseStage):
    """
    description: "Adds to a number."
    arguments:
      current: {type: number, optional: true, description: "the number so far; 0 where missing"}
      delta: {type: number, optional: true, description: "what to add; wins over the config"}
    config:
      delta: {type: number, optional: true, description: "what to add; 1 where missing"}
    outputs:
      value: {type: number, description: "the sum"}
    """

    category = "builtin.vars"

    async def run(self) -> None:
        values = given(self)
        current = number(values.get("current", 0), "IncrementStage's current")
        delta = number(values.get("delta", self.config.get("delta", 1)), "IncrementStage's delta")
        self.set_outputs({"value": _sum(current, delta)})


def _sum(current: float, delta: float) -> float:
    try:
        total = current + delta
    except OverflowError:
        total = float("inf")
    if isinstance(total, float) and not isfinite(total):
        raise ValueError("IncrementStage's sum is too large for a number")
    return total


@register_stage("MergeDictStage")
class MergeDictStage(BaseStage):
    """
    description: "Merges one object into another, key by key, not deeper."
    arguments:
      src: {type: object, optional: true, description: "the entries that win"}
      dst: {type: object, optional: true, description: "the object they are merged into"}
    config:
      default_dst: {type: object, optional: true, description: "what to merge into where dst is missing"}
    outputs:
      merged: {type: object, description: "both together"}
    """

    category = "builtin.vars"

    async def run(self) -> None:
        values = given(self)
        src = expect(values.get("src") or {}, dict, "MergeDictStage's src")
        dst = expect(values.get("dst", self.config.get("default_dst")) or {}, dict, "MergeDictStage's dst")
        self.set_outputs({"merged": {**dst, **src}})
