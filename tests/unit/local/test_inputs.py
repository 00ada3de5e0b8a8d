"""Inputs of a session in this process: kept, given once, refused, waited for."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from stageflow_es import BaseStage, CommandRejected, Context, Session, SessionFailed, register_stage

from .stages import asking, end, pipeline, stage, until_waiting

TWICE = pipeline(
    stage("first", "LocalAsk", "second", outputs={"answer": "a"}),
    stage("second", "LocalAsk", outputs={"answer": "b"}),
    end("a", "b"),
)


async def test_an_input_before_the_run_is_kept_for_it() -> None:
    session = Session("s", asking())
    await session.input("go", {"v": 1})
    assert session.last_input() == {"type": "go", "payload": {"v": 1}}
    assert (await session.run()).artifacts == {"a": {"v": 1}}


async def test_two_inputs_in_a_row_are_both_kept() -> None:
    session = Session("s", TWICE)
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    await session.input("go", 1)
    await session.input("go", 2)
    assert (await running).artifacts == {"a": 1, "b": 2}


async def test_two_inputs_before_the_run_are_given_in_order() -> None:
    session = Session("s", TWICE)
    await session.input("go", 1)
    await session.input("go", 2)
    assert (await session.run()).artifacts == {"a": 1, "b": 2}


async def test_an_input_is_not_lost_with_a_start_whose_context_is_no_json() -> None:
    context = Context(payload={"x": object()})
    session = Session("s", asking(), context)
    await session.input("go", 1)
    with pytest.raises(CommandRejected, match="context"):
        await session.run()
    context.set("x", 2)
    assert (await asyncio.wait_for(session.run(), 20)).artifacts == {"a": 1}


async def test_an_input_wakes_every_stage_that_waits_for_its_type() -> None:
    both = pipeline(
        {"id": "p", "type": "parallel", "children": ["x", "y"], "next": "end"},
        stage("x", "LocalAsk", None, outputs={"answer": "x"}),
        stage("y", "LocalAsk", None, outputs={"answer": "y"}),
        end("x", "y"),
    )
    session = Session("s", both)
    running = asyncio.create_task(session.run())
    while [event.type for event in session.event_history].count("waiting_for_input") < 2:
        await asyncio.sleep(0)
    await session.input("go", 7)
    assert (await running).artifacts == {"x": 7, "y": 7}


async def test_an_input_the_schema_refuses_is_refused_to_its_sender_and_the_wait_goes_on() -> None:
    session = Session("s", pipeline(stage("ask", "LocalStrictAsk", outputs={"answer": "a"}), end("a")))
    running = asyncio.create_task(session.run())
    await until_waiting(session)
    with pytest.raises(CommandRejected, match="integer"):
        await session.input("go", {"v": "x"})
    await session.input("go", {"v": 3})
    assert (await running).artifacts == {"a": 3}


async def test_a_kept_input_the_schema_refuses_is_passed_over() -> None:
    session = Session("s", pipeline(stage("ask", "LocalStrictAsk", outputs={"answer": "a"}), end("a")))
    await session.input("go", {"v": "x"})
    await session.input("go", {"v": 3})
    result = await session.run()
    assert result.artifacts == {"a": 3}
    assert [event.type for event in result.history].count("input_rejected") == 1


async def test_an_input_that_is_not_json_is_refused() -> None:
    with pytest.raises(CommandRejected, match="not JSON"):
        await Session("s", asking()).input("go", {"v": object()})


@pytest.mark.parametrize("type_", ["", None, 5])
async def test_an_input_without_a_type_is_refused(type_: Any) -> None:
    with pytest.raises(CommandRejected, match="not empty"):
        await Session("s", asking()).input(type_, 1)


async def test_a_stage_that_waits_for_an_input_without_a_type_fails() -> None:
    with pytest.raises(SessionFailed, match="nobody can send one"):
        await Session("s", asking(type="")).run()


async def test_an_input_after_the_end_is_refused() -> None:
    session = Session("s", pipeline(end()))
    await session.run()
    with pytest.raises(CommandRejected, match="ended"):
        await session.input("go", {})


async def test_a_payload_is_copied_in_and_out() -> None:
    session = Session("s", asking())
    payload = {"v": [1]}
    await session.input("go", payload)
    payload["v"].append(2)
    session.input_history[0]["payload"]["v"].append(3)
    assert (await session.run()).artifacts == {"a": {"v": [1]}}


async def test_a_wait_that_times_out_gives_nothing() -> None:
    result = await Session("s", asking(timeout=0.01)).run()
    assert result.artifacts == {"a": None}
    assert "input_timeout" in [event.type for event in result.history]


async def test_the_input_history_has_every_input_in_order() -> None:
    session = Session("s", asking("last"))
    for number in range(100):
        await session.input("other", number)
    await session.input("last", "x")
    await session.run()
    assert [entry["payload"] for entry in session.input_history] == [*range(100), "x"]
    assert session.last_input("other") == {"type": "other", "payload": 99}
    assert session.last_input("none") is None


# --- beside the pipeline ---


async def test_everyone_who_waits_beside_the_pipeline_hears_an_input() -> None:
    session = Session("s", pipeline(end()))
    waiters = [asyncio.create_task(session.wait_input("ping")) for _ in range(2)]
    await until_waiting(session, "ping")
    await session.input("ping", {"m": 1})
    assert await asyncio.gather(*waiters) == [{"type": "ping", "payload": {"m": 1}}] * 2


async def test_waiting_beside_the_pipeline_takes_nothing_from_it() -> None:
    session = Session("s", asking())
    await session.input("go", 1)
    assert await session.wait_input("go") == {"type": "go", "payload": 1}
    assert await session.wait_input("go", timeout=0.001) is None
    assert "go" not in session._waiting
    assert (await session.run()).artifacts == {"a": 1}


async def test_a_stage_sees_the_inputs_of_its_session() -> None:
    session = Session("s", asking("b"), Context({}))
    await session.input("a", 1)
    await session.input("b", 2)
    assert (await session.run()).artifacts == {"a": 2}
    assert [entry["type"] for entry in session.input_history] == ["a", "b"]


@register_stage("LocalReference")
class Reference(BaseStage):
    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "go", "payload_schema": {"$ref": "#/nowhere"}}]

    async def run(self) -> None:
        await self.wait_input("go")


async def test_a_kept_input_does_not_fit_a_schema_that_refers_to_nothing_and_the_wait_goes_on() -> None:
    session = Session("s", pipeline(stage("ask", "LocalReference"), end()))
    await session.input("go", 1)
    running = asyncio.create_task(session.run())
    async with asyncio.timeout(10):
        await until_waiting(session)
    assert "input_rejected" in [event.type for event in session.event_history]
    await session.stop()
    await running
