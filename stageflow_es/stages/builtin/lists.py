"""Growing, filtering and shrinking lists."""

from __future__ import annotations

from asyncio import sleep
from time import monotonic
from typing import Any, Final

import msgspec

from stageflow_es.pipeline.rules import compile_rule, condition_data
from stageflow_es.session.paths import Frame, parse
from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import expect, given
from stageflow_es.stages.registry import register_stage

TURN: Final = 0.005
"""Seconds that a long list is filtered for before everything else has its turn; so a `timeout` can end it too."""


def _items(stage: BaseStage, values: dict[str, Any]) -> list[Any]:
    return expect(values.get("items", []), list, f"{stage.stage_name}'s items")


def _so_far(stage: BaseStage, value: Any) -> list[Any]:
    return expect([] if value is None else value, list, f"{stage.stage_name}'s list")


@register_stage("AppendListStage")
class AppendListStage(BaseStage):
    """
    description: "Appends a value to a list, which begins empty where it is missing or null."
    arguments:
      list: {type: list, optional: true, description: "the list so far"}
      value: {type: any, optional: true, description: "the value; wins over the config"}
    config:
      value: {type: any, optional: true, description: "the value where the argument is missing"}
    outputs:
      list: {type: list, description: "the longer list"}
    """

    category = "builtin.lists"

    async def run(self) -> None:
        values = given(self)
        value = values.get("value", self.config.get("value"))
        self.set_outputs({"list": [*_so_far(self, values.get("list")), value]})


@register_stage("ExtendListStage")
class ExtendListStage(BaseStage):
    """
    description: "Appends all items of one list to another."
    arguments:
      list: {type: list, optional: true, description: "the list so far"}
      items: {type: list, optional: true, description: "what to append"}
    config:
      default_list: {type: list, optional: true, description: "the list so far where the argument is missing"}
    outputs:
      list: {type: list, description: "the longer list"}
    """

    category = "builtin.lists"

    async def run(self) -> None:
        values = given(self)
        so_far = _so_far(self, values.get("list", self.config.get("default_list")))
        self.set_outputs({"list": [*so_far, *_items(self, values)]})


@register_stage("FilterListStage")
class FilterListStage(BaseStage):
    """
    description: "Keeps the items for which a JSON Logic rule is truthy. The rule sees the context and the item."
    arguments:
      items: {type: list, optional: true, description: "the list to filter"}
    config:
      condition: {type: object, format: json-logic, description: "the rule"}
      item_path: {type: string, optional: true, description: "where the rule finds the item; `item` if not given"}
    outputs:
      list: {type: list, description: "the items that were kept"}
    """

    category = "builtin.lists"

    async def run(self) -> None:
        if self.config.get("condition") is None:
            raise ValueError("FilterListStage needs a condition in its config")
        rule = compile_rule(self.config["condition"])
        path = expect(self.config.get("item_path", "item"), str, "FilterListStage's item_path")
        frame = Frame(dict(self.session.context.payload))
        kept = []
        data: dict[str, Any] = {}
        turn = monotonic()
        for item in _items(self, given(self)):
            frame.write(path, item)
            if data.get("payload") is not frame.root:
                data = condition_data(frame.root)
            data |= {name: frame.root[name] for name in parse(path)[:1] if name != "payload"}
            if rule.truthy(data):
                kept.append(item)
            if monotonic() - turn > TURN:
                await sleep(0)
                turn = monotonic()
        self.set_outputs({"list": kept})


@register_stage("UniqueListStage")
class UniqueListStage(BaseStage):
    """
    description: "Keeps the first of equal items. Items are equal as JSON is: 1 is 1.0, but neither true nor '1'."
    arguments:
      items: {type: list, optional: true, description: "the list"}
    outputs:
      list: {type: list, description: "the list without repetitions, in order"}
    """

    category = "builtin.lists"

    async def run(self) -> None:
        seen: dict[bytes, Any] = {}
        for item in _items(self, given(self)):
            seen.setdefault(msgspec.json.encode(_settled(item), order="sorted"), item)
        self.set_outputs({"list": list(seen.values())})


def _settled(value: Any) -> Any:
    """A value with whole numbers as integers, so that equal numbers are written alike."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_settled(item) for item in value]
    if isinstance(value, dict):
        return {key: _settled(item) for key, item in value.items()}
    return value


@register_stage("PopListStage")
class PopListStage(BaseStage):
    """
    description: "Takes an item out of a list. Does nothing with an empty one."
    arguments:
      items: {type: list, optional: true, description: "the list"}
      index: {type: int, optional: true, description: "which item; wins over the config"}
    config:
      index: {type: int, optional: true, description: "which item; -1, the last, if not given"}
    outputs:
      list: {type: list, description: "the list without the item"}
      popped: {type: any, description: "the item"}
    """

    category = "builtin.lists"

    async def run(self) -> None:
        values = given(self)
        items = _items(self, values)
        index = expect(values.get("index", self.config.get("index", -1)), int, "PopListStage's index")
        if not items:
            return
        if not -len(items) <= index < len(items):
            raise ValueError(f"PopListStage: a list of {len(items)} has no item {index}")
        popped = items.pop(index)
        self.set_outputs({"list": items, "popped": popped})
