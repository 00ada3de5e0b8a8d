"""Starts whose definition came before, byte for byte, and those that only look like it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import definitions
from stageflow_es.engine import intake as module
from stageflow_es.engine.clock import SystemClock
from stageflow_es.engine.definitions import Found, Library
from stageflow_es.engine.intake import Intake
from stageflow_es.engine.ports import CommandMessage
from stageflow_es.pipeline import canonical
from stageflow_es.session import commands as cmd

CHAIN: dict[str, Any] = {"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]}
BROKEN: dict[str, Any] = {"entry": "nowhere", "nodes": [{"id": "end", "type": "terminal"}]}


@pytest.fixture
def intake() -> Intake:
    bus = MemoryBus()
    return Intake(Library(bus.definitions), {}, SystemClock(), "one", bus.events)


def start(seq: int, **body: Any) -> CommandMessage:
    data = msgspec.json.encode({"pipeline": CHAIN, **body})
    return CommandMessage(seq=seq, kind="start", session="s", data=data, id=f"id{seq}")


async def test_a_definition_that_came_before_gives_the_same_command_and_pipeline(intake: Intake) -> None:
    first, compiled = await intake.prepare(start(1, payload={"a": 1}, labels={"k": "v"}, paused=True), {})
    again, known = await intake.prepare(start(2, payload={"a": 1}, labels={"k": "v"}, paused=True), {})
    assert compiled is not None
    assert known is compiled
    assert msgspec.structs.replace(again, at=first.at, seq=1, id="id1") == first


@pytest.mark.parametrize(
    "body",
    [{"session": "other"}, {"unknown": 1}, {"payload": 7}, {"labels": {"k": 1}}, {"paused": "yes"}],
)
async def test_what_else_is_wrong_with_such_a_start_is_refused_all_the_same(
    intake: Intake, body: dict[str, Any]
) -> None:
    await intake.prepare(start(1), {})
    command, pipeline = await intake.prepare(start(2, **body), {})
    assert isinstance(command, cmd.Refuse)
    assert pipeline is None


@pytest.mark.parametrize("body", [b'{"type":""}', b'{"type":null}', b"{}"])
async def test_an_input_without_a_type_is_refused_with_what_a_type_is(intake: Intake, body: bytes) -> None:
    command, _ = await intake.prepare(CommandMessage(seq=1, kind="input", session="s", data=body), {})
    assert isinstance(command, cmd.Refuse)
    assert "type" in command.problems[0].message


async def test_a_definition_that_was_refused_is_refused_again(intake: Intake) -> None:
    commands = [(await intake.prepare(start(seq, pipeline=BROKEN), {}))[0] for seq in (1, 2)]
    assert [type(command) for command in commands] == [cmd.Refuse, cmd.Refuse]


async def test_only_so_many_definitions_are_known_by_their_text(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    for seq in range(1, 5):
        await intake.prepare(start(seq, pipeline={**CHAIN, "metadata": {"number": seq}}), {})
    assert len(intake._seen) == 2


async def test_starts_read_together_ask_for_a_name_once_and_later_ones_find_what_it_means_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = MemoryBus()
    intake = Intake(Library(bus.definitions), {}, SystemClock(), "one", bus.events)
    asked: list[str] = []
    resolve = bus.definitions.resolve

    async def counting(name: str) -> str | None:
        asked.append(name)
        return await resolve(name)

    monkeypatch.setattr(bus.definitions, "resolve", counting)
    digests = []
    for number in range(2):
        data = canonical({**CHAIN, "metadata": {"number": number}})
        digests.append(await bus.definitions.put(data))
        await bus.definitions.name("orders", digests[-1])
        found: Found = {}
        for seq in range(3):
            _, pipeline = await intake.prepare(start(seq, pipeline="orders"), found)
            assert pipeline is not None
            assert pipeline.digest == digests[-1]
    assert asked == ["orders", "orders"]


STRANGE: dict[str, Any] = {"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "NotHere", "next": "a"}]}


async def test_a_registered_definition_that_the_stages_here_cannot_run_is_refused_when_it_is_started() -> None:
    bus = MemoryBus()
    intake = Intake(Library(bus.definitions), {}, SystemClock(), "one", bus.events)
    digest = await bus.definitions.put(msgspec.json.encode(STRANGE, order="sorted"))
    await bus.definitions.name("strange", digest)
    for seq, reference in enumerate(("strange", f"strange@{digest}", STRANGE), 1):
        command, pipeline = await intake.prepare(start(seq, pipeline=reference), {})
        assert isinstance(command, cmd.Refuse)
        assert [problem.path for problem in command.problems] == ["/nodes/0/stage"]
        assert pipeline is None


async def test_a_registered_definition_is_looked_at_once_while_it_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus()
    intake = Intake(Library(bus.definitions), {}, SystemClock(), "one", bus.events)
    await bus.definitions.name("chain", await bus.definitions.put(msgspec.json.encode(CHAIN, order="sorted")))
    looked: list[object] = []
    monkeypatch.setattr(definitions, "errors_of", lambda document, stages: looked.append(document) or [])
    for seq in range(1, 4):
        command, _ = await intake.prepare(start(seq, pipeline="chain"), {})
        assert isinstance(command, cmd.Start)
    assert looked == [CHAIN]
