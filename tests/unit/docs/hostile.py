"""Words that want to be more than words, wherever a page could show them."""

from __future__ import annotations

from typing import Any

from stageflow_es import BaseStage, EventSpec, InputSpec, register_stage

RUN = "document.title='PWNED'"
NASTY = (
    f'</script></style></title></textarea>--><script>{RUN}</script><img src=x onerror="{RUN}">'
    f'<svg onload="{RUN}"><a href="javascript:{RUN}">"\'` onmouseover={RUN} x=\u202e\u0000]]>{{{{7*7}}}}${{{RUN}}}'
)


def nasty_stage() -> None:
    """Register a stage that says it everywhere."""
    field = {"type": NASTY, "description": NASTY, "default": NASTY, "optional": NASTY}

    class Nasty(BaseStage):
        category = NASTY
        skipable = True
        allowed_events = [EventSpec(type=NASTY, description=NASTY, payload_schema={"type": "object", "title": NASTY})]
        allowed_inputs = [InputSpec(type=NASTY, description=f"`{NASTY}`", payload_schema={NASTY: int})]

        @classmethod
        def get_specs(cls) -> dict[str, Any]:
            fields = [{**field, "name": NASTY}]
            return {
                **super().get_specs(),
                "description": NASTY,
                "arguments": fields,
                "config": fields,
                "outputs": fields,
            }

    register_stage(NASTY)(Nasty)


def nasty_pipeline(words: str = NASTY) -> dict[str, Any]:
    """A pipeline that says it everywhere."""
    return {
        "entry": words,
        "metadata": {"title": words, "description": words},
        "nodes": [
            {"id": words, "type": "stage", "stage": words, "config": {words: words}, "fallback": "pick", "next": "sub"},
            {
                "id": "pick",
                "type": "condition",
                "conditions": [{"if": {"==": [{"var": "a"}, words]}, "then": "end"}],
                "else": "pick",
            },
            {"id": "sub", "type": "subpipeline", "subpipeline_id": words, "next": "end"},
            {"id": "end", "type": "terminal", "result": {"status": words}},
        ],
        "subpipelines": {words: {"entry": words, "nodes": [{"id": words, "type": "terminal"}]}},
    }
