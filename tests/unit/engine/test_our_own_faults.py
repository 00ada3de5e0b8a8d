"""Errors of our own in deciding, and in changing a state, such as a want of memory: what is stored is whole all the
same, and nobody is held up."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, EngineSettings, actor, runner, setbacks
from stageflow_es.session import commands as cmd
from stageflow_es.session import decide, seal
from stageflow_es.session import events as ev
from stageflow_es.session.decide import UNDECIDED
from stageflow_es.stages import BaseStage
from tests.e2e.conftest import pipeline
from tests.faults.test_lapsed import STAGES, until_recorded


@pytest.mark.parametrize("kind", [ev.SessionStarted, ev.StageCompleted, ev.SessionTerminated, ev.SessionCompleted])
async def test_no_event_is_left_out_or_stored_twice_where_changing_the_state_by_it_fails_once(
    kind: type[ev.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    raised: list[ev.Event] = []

    def broken(state: Any, event: Any) -> bytes:
        data = seal(state, event)
        if isinstance(event, kind) and not raised:
            raised.append(event)
            raise MemoryError("half way")
        return data

    monkeypatch.setattr(actor, "seal", broken)
    monkeypatch.setattr(setbacks, "PAUSE", 0)
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages=STAGES)
    await engine.start()
    definition = pipeline("Plain", outputs={"answer": "answer"})
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": definition}))
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
    assert raised
    kinds = [type(ev.decode(stored.data)) for stored in await bus.events.read("s")]
    assert kinds == [ev.SessionStarted, ev.StageCompleted, ev.SessionTerminated, ev.SessionCompleted]


async def test_a_command_that_cannot_be_decided_is_rejected_and_holds_up_none_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(state: Any, command: Any, stages: Any) -> Any:
        if isinstance(command, cmd.Input):
            raise LookupError("a bug")
        return decide(state, command, stages)

    monkeypatch.setattr(actor, "decide", broken)
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages=STAGES, settings=EngineSettings(checkpoint_every=0.02))
    await engine.start()
    definition = pipeline("Plain", outputs={"answer": "answer"})
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": definition, "paused": True}))
    known, nobody = [await bus.publish("input", session, b'{"type": "go"}') for session in ("s", "nobody")]
    last = await bus.publish("control", "s", b'{"action": "resume"}')
    await until_recorded(bus, ev.SessionCompleted)
    async with asyncio.timeout(10):
        while (found := (await bus.checkpoints.read(0))[1]) is None or found.commands < last:
            await asyncio.sleep(0.005)
    await engine.stop()
    history = [ev.decode(stored.data) for stored in await bus.events.read("s")]
    refused = [(one.cause, one.problems[0].message) for one in history if isinstance(one, ev.CommandRejected)]
    assert refused == [(known, UNDECIDED)]
    assert bus.commands.rejections.keys() == {known, nobody}


class Takes(BaseStage):
    """Takes its time."""

    let: ClassVar[asyncio.Event]

    async def run(self) -> None:
        await self.let.wait()


async def test_a_run_whose_beginning_fails_for_a_fault_of_ours_begins_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = runner.StageRun.start
    raised: list[str] = []

    def broken(run: runner.StageRun) -> None:
        if not raised:
            raised.append(run.name)
            raise MemoryError("nothing left")
        start(run)

    monkeypatch.setattr(runner.StageRun, "start", broken)
    monkeypatch.setattr(setbacks, "PAUSE", 0)
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages=STAGES)
    await engine.start()
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": pipeline("Plain")}))
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
    assert raised


async def test_faults_that_were_got_over_are_not_held_against_a_session_later(monkeypatch: pytest.MonkeyPatch) -> None:
    Takes.let = asyncio.Event()
    Takes.let.set()
    raised: set[str] = set()

    def broken(state: Any, command: Any, stages: Any) -> Any:
        if isinstance(command, cmd.CompleteStage) and (run := str(command.run)) not in raised:
            raised.add(run)
            raise LookupError("a bug")
        return decide(state, command, stages)

    monkeypatch.setattr(actor, "decide", broken)
    monkeypatch.setattr(setbacks, "PAUSE", 0)
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages={"Takes": Takes})
    await engine.start()
    names = [f"n{number}" for number in range(setbacks.HOPELESS * 2)]
    nodes: list[dict[str, Any]] = [
        {"id": name, "type": "stage", "stage": "Takes", "next": following}
        for name, following in zip(names, [*names[1:], "end"], strict=True)
    ]
    definition = {"entry": names[0], "nodes": [*nodes, {"id": "end", "type": "terminal"}]}
    await bus.publish("start", "s", msgspec.json.encode({"pipeline": definition}))
    await until_recorded(bus, ev.SessionCompleted)
    await engine.stop()
    assert len(raised) == len(names)
