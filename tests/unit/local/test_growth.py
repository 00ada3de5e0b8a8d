"""A pipeline that makes its values grow, from JSON alone, is stopped before it has cost anything worth mentioning."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stageflow_es import Context, Pipeline, Session, SessionFailed

from .stages import end, stage

START = {"n": 0, "one": [1], "two": [1, 2], "many": list(range(20)), "xs": [1], "text": "ab", "list": [1]}


def over_and_over(grow: dict[str, Any], **fields: Any) -> Pipeline:
    """A pipeline that does one node for as long as it may."""
    grow = {"id": "grow", "next": "count", **grow}
    count = stage("count", "IncrementStage", "again", arguments={"current": "n"}, outputs={"value": "n"})
    rule = {"<": [{"var": "n"}, 20_000]}
    again = {"id": "again", "type": "condition", "conditions": [{"if": rule, "then": "grow"}], "else": "end"}
    return Pipeline.from_dict({"entry": "grow", "nodes": [grow, count, again, end()], **fields})


def mapping(items: str) -> Pipeline:
    node = {"type": "map", "items": items, "body": "end", "output_map": {"xs": "xs"}}
    return over_and_over(node)


def calling(inputs: dict[str, str], outputs: dict[str, str]) -> Pipeline:
    inner = {"entry": "e", "nodes": [{"id": "e", "type": "terminal", "artifacts": ["payload"]}]}
    node = {"type": "subpipeline", "subpipeline_id": "c", "inputs": inputs, "artifact_outputs": outputs}
    return over_and_over(node, subpipelines={"c": inner})


def staging(name: str, **fields: Any) -> Pipeline:
    return over_and_over({"type": "stage", "stage": name, **fields})


GROWING = {
    "lists in lists": lambda: mapping("one"),
    "twice the list": lambda: mapping("two"),
    "many times the list": lambda: mapping("many"),
    "the context in itself": lambda: calling({"a.b": "payload"}, {"q": "payload"}),
    "the context twice in itself": lambda: calling({"a": "payload", "b": "payload"}, {"q": "payload"}),
    "a long path into the context": lambda: calling({".".join("a" * 32): "payload"}, {"q": "payload"}),
    "a stage that copies the context into itself": lambda: staging(
        "SetValueStage", arguments={"value": "payload"}, outputs={"value": "a"}
    ),
    "twice the text": lambda: staging("ConcatStage", config={"parts": ["text"] * 2}, outputs={"value": "text"}),
    "a thousand times the text": lambda: staging(
        "ConcatStage", config={"parts": ["text"] * 1000}, outputs={"value": "text"}
    ),
    "a template of itself": lambda: staging(
        "TemplateStage", config={"template": "{t!r}{t}", "values": {"t": "text"}}, outputs={"value": "text"}
    ),
    "a template of the context": lambda: staging(
        "TemplateStage", config={"template": "{t}{t}", "values": {"t": "payload"}}, outputs={"value": "text"}
    ),
    "a path of nine hundred parts": lambda: staging(
        "SetValueStage", config={"value": 1}, outputs={"value": ".".join("a" * 900)}
    ),
    "an index of six thousand digits": lambda: staging(
        "SetValueStage", config={"value": 1}, outputs={"value": "one." + "9" * 6000}
    ),
}


@pytest.mark.parametrize("growing", GROWING)
async def test_what_grows_without_end_fails_the_session_that_lets_it(growing: str) -> None:
    session = Session("s", GROWING[growing](), Context(payload=START))
    with pytest.raises(SessionFailed) as failure:
        await asyncio.wait_for(session.run(), 30)
    assert failure.value.error is not None
    assert failure.value.error.type in ("TooLarge", "PathError", "StageError", "RuleError")
