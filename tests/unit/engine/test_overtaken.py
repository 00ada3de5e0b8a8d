"""Runs that another engine has taken further than this one, which only learns of it when it reads the log again."""

from __future__ import annotations

import asyncio
from typing import ClassVar

import msgspec

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine
from stageflow_es.pipeline import Pipeline
from stageflow_es.session import State, apply, decide, seal
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

PIPELINE = {
    "entry": "ask",
    "nodes": [{"id": "ask", "type": "stage", "stage": "Ponders", "next": "end"}, {"id": "end", "type": "terminal"}],
}
AT = "2026-01-01T00:00:00Z"


class Ponders(BaseStage):
    """Ponders in its first run, until that is ended, and asks in any other."""

    stage_name = "Ponders"
    first: ClassVar[bool]
    runs: ClassVar[asyncio.Queue[str]]

    async def run(self) -> None:
        self.runs.put_nowait("began")
        try:
            if self.first:
                Ponders.first = False
                await asyncio.Event().wait()
            await self.wait_input("go")
        except asyncio.CancelledError:
            self.runs.put_nowait("was ended")
            raise


async def history(bus: MemoryBus) -> list[ev.AnyEvent]:
    return [ev.decode(stored.data) for stored in await bus.events.read("s")]


async def waits_elsewhere(bus: MemoryBus) -> None:
    """Append what another engine does that has the same run, and has come to its wait."""
    state = State("s", Pipeline.from_dict(PIPELINE))
    for stored in await bus.events.read("s"):
        apply(state, stored.data, stored.seq)
    [(scope, run)] = state.runs.items()
    events = decide(state, cmd.OpenWait(at=AT, by="other", run=run.id(scope), key="wait:go:0", type="go"), {})
    assert isinstance(events, list)
    await bus.events.append("s", [seal(state, event) for event in events], state.seq)


async def test_a_run_that_another_engine_brought_to_where_it_waits_is_ended_and_does_nothing_more() -> None:
    Ponders.runs, Ponders.first = asyncio.Queue(), True
    bus = MemoryBus(1)
    engine = Engine(bus, name="one", stages={"Ponders": Ponders})
    async with asyncio.timeout(20):
        await engine.start()
        await bus.publish("start", "s", msgspec.json.encode({"pipeline": PIPELINE}))
        assert await Ponders.runs.get() == "began"
        await waits_elsewhere(bus)
        await bus.publish("input", "s", msgspec.json.encode({"type": "other"}))
        assert await Ponders.runs.get() == "was ended"
        await bus.publish("input", "s", msgspec.json.encode({"type": "go"}))
        assert await Ponders.runs.get() == "began"
        while not isinstance((await history(bus))[-1], ev.SessionCompleted):
            await asyncio.sleep(0.005)
        await engine.stop()
    assert Ponders.runs.empty()
