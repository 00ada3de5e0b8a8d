"""What a session in this process cannot take is refused where it is given, in one line that says what was expected."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any

import pytest

from stageflow_es import (
    Condition,
    ConditionNode,
    Context,
    JsonLogic,
    Node,
    Pipeline,
    Session,
    export_history,
    get_stage,
    replay_history,
    verify_history,
)
from stageflow_es.audit import HistoryBroken
from stageflow_es.errors import CommandRejected, StageError
from stageflow_es.testing import PipelineTestSpec, run_pipeline_test

END = {"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]}
PIPELINE = Pipeline.from_dict(END)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Session(5, PIPELINE), "a session's id is a text"),
        (lambda: Session("", PIPELINE), "a session's id is a text"),
        (lambda: Session("\udcff", PIPELINE), "a session's id is a text"),
        (lambda: Session("s", END), r"such as Pipeline.from_dict gives"),
        (lambda: Session("s", PIPELINE, {"amount": 1}), r"such as Context\(payload="),
        (lambda: Session("s", PIPELINE, event_handler="print"), "cannot be called"),
        (lambda: Context(payload=[1]), "payload is an object"),
        (lambda: Session.from_snapshot("{}"), "object that `snapshot` gave"),
        (lambda: Session.from_snapshot({"session_id": "s", "event_history": 5}, PIPELINE), "no snapshot of a session"),
        (lambda: Pipeline("end", END["nodes"]), "see `from_dict`"),
        (lambda: Pipeline("end", None), "see `from_dict`"),
        (lambda: Pipeline.from_json(5), "not JSON"),
        (lambda: Node.from_dict("end"), "is an object"),
        (lambda: Condition({"var": "a"}, "end"), "is a JsonLogic"),
        (lambda: ConditionNode("a", "condition", [{"if": True}]), "with `if` and `then`"),
        (lambda: JsonLogic({"var": "a"}).evaluate({"a": 1}), "over a Context"),
        (lambda: get_stage([1]), "no stage"),
        (lambda: verify_history(5), "a history is the path of an export"),
        (lambda: replay_history([], PIPELINE, at="9"), "there is no event '9'"),
    ],
)
def test_what_is_of_the_wrong_kind_is_said_where_it_is_given(make: Callable[[], Any], said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        make()


async def test_a_history_given_as_anything_but_stored_bytes_does_not_verify() -> None:
    session = Session("s", PIPELINE)
    await session.run()
    broken = verify_history(session.event_history, PIPELINE)
    assert not broken
    assert "as bytes: this is a Event" in broken.message
    assert not verify_history(session.events, PIPELINE, count="2")
    with pytest.raises(HistoryBroken, match="as bytes"):
        list(export_history([5], PIPELINE))


async def test_an_input_or_a_scope_that_is_no_text_is_refused() -> None:
    session = Session("s", PIPELINE)
    with pytest.raises(CommandRejected, match="/type: "):
        await session.input("\udcff")
    with pytest.raises(CommandRejected, match="/type: "):
        await session.wait_input([1])
    with pytest.raises(CommandRejected, match="/scope: "):
        await session.skip([1])
    with pytest.raises(StageError, match="a number of seconds"):
        await session.wait_input("answer", timeout=nan)


async def test_the_inputs_of_a_test_say_what_they_are() -> None:
    with pytest.raises(TypeError, match="each with a `type`"):
        await run_pipeline_test(PipelineTestSpec(pipeline=END, inputs=["approval"]))
