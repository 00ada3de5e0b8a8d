"""Errors in the middle of changing a state, such as a want of memory: what is stored is whole all the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine import Engine, actor, setbacks
from stageflow_es.session import events as ev
from stageflow_es.session import seal
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
