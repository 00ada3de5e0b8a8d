"""Checking, failing, logging and sleeping."""

from __future__ import annotations

from stageflow_es.pipeline.rules import compile_rule, condition_data
from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import looked_up, number
from stageflow_es.stages.registry import register_stage


@register_stage("AssertStage")
class AssertStage(BaseStage):
    """
    description: "Fails unless a JSON Logic rule over the context is truthy."
    config:
      condition: {type: object, format: json-logic, description: "the rule"}
      message: {type: string, optional: true, description: "what the failure says"}
    outputs: {}
    """

    category = "builtin.logic"

    async def run(self) -> None:
        if self.config.get("condition") is None:
            raise ValueError("AssertStage needs a condition in its config")
        if not compile_rule(self.config["condition"]).truthy(condition_data(self.session.context.payload)):
            raise AssertionError(self.config.get("message", "assertion failed"))


@register_stage("FailStage")
class FailStage(BaseStage):
    """
    description: "Always fails."
    config:
      message: {type: string, optional: true, description: "what the failure says"}
    outputs: {}
    """

    category = "builtin.logic"

    async def run(self) -> None:
        raise RuntimeError(self.config.get("message", "fail"))


@register_stage("LogStage")
class LogStage(BaseStage):
    """
    description: "Records a `log` event with a message and values of the context."
    config:
      message: {type: string, optional: true, description: "the message"}
      paths: {type: object, optional: true, description: "field of the event -> context path"}
    outputs: {}
    """

    category = "builtin.logic"

    async def run(self) -> None:
        self.emit("log", {"message": self.config.get("message", ""), **looked_up(self, "paths")})


@register_stage("SleepStage")
class SleepStage(BaseStage):
    """
    description: "Waits, durably: it survives every restart, and its engine forgets it meanwhile."
    config:
      seconds: {type: number, optional: true, description: "how long; 0 if not given"}
    outputs: {}
    """

    category = "builtin.logic"

    async def run(self) -> None:
        seconds = number(self.config.get("seconds", 0), "SleepStage's seconds")
        if seconds > 0:
            await self.sleep(seconds)
