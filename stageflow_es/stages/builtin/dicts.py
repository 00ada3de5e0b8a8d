"""Keeping and dropping keys of an object."""

from __future__ import annotations

from typing import Any

from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import expect
from stageflow_es.stages.registry import register_stage


def _source(stage: BaseStage) -> dict[str, Any]:
    return expect(stage.get_arguments().get("src") or {}, dict, f"{stage.stage_name}'s src")


def _keys(stage: BaseStage) -> dict[str, None]:
    """The configured keys in order; what is no text is the key of nothing."""
    keys = expect(stage.config.get("keys", []), list, f"{stage.stage_name}'s keys")
    return dict.fromkeys(key for key in keys if isinstance(key, str))


@register_stage("PickKeysStage")
class PickKeysStage(BaseStage):
    """
    description: "Makes an object of some keys of another, in the order given."
    arguments:
      src: {type: object, description: "where to take them from; null counts as empty"}
    config:
      keys: {type: list, description: "the keys to keep; those that are not there are passed over"}
    outputs:
      result: {type: object, description: "the object with those keys alone"}
    """

    category = "builtin.dicts"

    async def run(self) -> None:
        source = _source(self)
        self.set_outputs({"result": {key: source[key] for key in _keys(self) if key in source}})


@register_stage("DropKeysStage")
class DropKeysStage(BaseStage):
    """
    description: "Makes an object without some keys of another."
    arguments:
      src: {type: object, description: "the object; null counts as empty"}
    config:
      keys: {type: list, description: "the keys to leave out"}
    outputs:
      result: {type: object, description: "the object without them"}
    """

    category = "builtin.dicts"

    async def run(self) -> None:
        dropped = _keys(self)
        self.set_outputs({"result": {key: value for key, value in _source(self).items() if key not in dropped}})
