"""Setting, copying, counting and merging values."""

from __future__ import annotations

from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import argument_or, expect
from stageflow_es.stages.registry import register_stage


@register_stage("SetValueStage")
class SetValueStage(BaseStage):
    """
    description: "Writes a value: the argument's, else the configured one."
    arguments:
      value: {type: any, optional: true, description: "the value; wins over the config"}
    config:
      value: {type: any, optional: true, description: "the value where the argument is missing"}
    outputs:
      value: {type: any, description: "what was written"}
    """

    category = "builtin.vars"

    async def run(self) -> None:
        if not self.has_argument("value") and "value" not in self.config:
            raise ValueError("SetValueStage needs a value, as an argument or in its config")
        self.set_outputs({"value": argument_or(self, "value", self.config.get("value"))})


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
        self.set_outputs({"value": argument_or(self, "value", self.config.get("default"))})


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
        current = argument_or(self, "current", 0)
        delta = argument_or(self, "delta", self.config.get("delta", 1))
        for name, value in (("current", current), ("delta", delta)):
            if not isinstance(value, float):
                expect(value, int, f"IncrementStage's {name}")
        self.set_outputs({"value": current + delta})


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
        src = expect(argument_or(self, "src", {}) or {}, dict, "MergeDictStage's src")
        target = argument_or(self, "dst", self.config.get("default_dst", {})) or {}
        self.set_outputs({"merged": {**expect(target, dict, "MergeDictStage's dst"), **src}})
