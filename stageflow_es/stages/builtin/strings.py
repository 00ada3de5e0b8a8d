"""Joining and formatting text."""

from __future__ import annotations

from typing import Any

from stageflow_es.pipeline.templates import compile_template, joined, text_of
from stageflow_es.stages.base import BaseStage
from stageflow_es.stages.builtin.choice import expect, given, looked_up, output_key
from stageflow_es.stages.registry import register_stage


@register_stage("ConcatStage")
class ConcatStage(BaseStage):
    """
    description: "Joins parts to one text. A part that is the path of a value in the context stands for that value."
    arguments:
      parts: {type: list, optional: true, description: "the parts; win over the config"}
      separator: {type: string, optional: true, description: "what goes between them; wins over the config"}
    config:
      parts: {type: list, optional: true, description: "the parts where the argument is missing"}
      separator: {type: string, optional: true, description: "what goes between them; nothing if not given"}
      output_key: {type: string, optional: true, description: "the output's name; `value` if not given"}
    outputs:
      value: {type: string, description: "the text"}
    """

    category = "builtin.strings"

    async def run(self) -> None:
        values = {**self.config, **given(self)}
        parts = expect(values.get("parts", []), list, "ConcatStage's parts")
        separator = expect(values.get("separator", ""), str, "ConcatStage's separator")
        self.set_outputs({output_key(self): joined(map(self._text, parts), separator)})

    def _text(self, part: Any) -> str:
        return text_of(self.session.context.get(part, part) if isinstance(part, str) else part)


@register_stage("TemplateStage")
class TemplateStage(BaseStage):
    """
    description: "Fills the placeholders of a text: `{name}`, `{item[key]}`, `{order.total:.2f}`."
    arguments:
      template: {type: string, optional: true, description: "the text where the config has none"}
    config:
      template: {type: string, format: template, optional: true, description: "the text"}
      output_key: {type: string, optional: true, description: "the output's name; `value` if not given"}
      values: {type: object, optional: true, description: "placeholder -> context path"}
    outputs:
      value: {type: string, description: "the filled text"}
    """

    category = "builtin.strings"

    async def run(self) -> None:
        template = self.config.get("template") or given(self).get("template")
        if template is None:
            raise ValueError("TemplateStage needs a template, in its config or as an argument")
        text = compile_template(expect(template, str, "TemplateStage's template")).render(looked_up(self, "values"))
        self.set_outputs({output_key(self): text})
