"""Engines on one bus, whatever bus it is, the stages they run and the pipelines they are given."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from stageflow_es.engine import Engine, EngineSettings
from stageflow_es.engine.ports import Bus
from stageflow_es.session import events as ev
from stageflow_es.stages import BaseStage

if TYPE_CHECKING:
    from .conftest import Rig

PATIENCE = 20


class Count(BaseStage):
    """Counts its runs, per session and node."""

    stage_name = "Count"
    runs: ClassVar[dict[tuple[str, str], int]] = {}

    async def run(self) -> None:
        key = (self.session.id, self.stage_id)
        self.runs[key] = self.runs.get(key, 0) + 1
        self.set_outputs({"value": (self.get_arguments().get("value") or 0) + 1})


class Approval(BaseStage):
    """Records a step, says something, and waits."""

    stage_name = "Approval"
    steps: ClassVar[dict[str, int]] = {}

    async def run(self) -> None:
        async def charge(amount: int) -> dict[str, int]:
            self.steps[self.session.id] = self.steps.get(self.session.id, 0) + 1
            return {"charged": amount}

        receipt = await self.step("charge", charge, 42)
        self.emit("asked", {"receipt": receipt})
        answer = await self.wait_input("approval", timeout=self.config.get("timeout"))
        self.set_outputs({"answer": answer["payload"] if answer else "timeout", "receipt": receipt})


class Gate(BaseStage):
    """Runs until the test opens it."""

    stage_name = "Gate"
    skipable = True
    began: ClassVar[dict[str, asyncio.Event]] = {}
    opened: ClassVar[dict[str, asyncio.Event]] = {}

    async def run(self) -> None:
        self.began.setdefault(self.session.id, asyncio.Event()).set()
        await self.opened.setdefault(self.session.id, asyncio.Event()).wait()


class Doomed(BaseStage):
    stage_name = "Doomed"
    broken: ClassVar[bool] = True

    async def run(self) -> None:
        if self.broken:
            raise ValueError("broken")


class Threaded(BaseStage):
    """Blocks, in a thread, and makes every durable call from there."""

    stage_name = "Threaded"
    blocking = True

    async def run(self) -> None:
        time.sleep(0.01)  # noqa: ASYNC251
        name = await self.step("where", lambda: threading.current_thread() is threading.main_thread())
        self.emit("said", {"main": name})
        answer = await self.wait_input("approval")
        assert answer is not None
        self.set_outputs({"value": self.get_arguments()["value"], "answer": [name, answer["payload"]]})


class Hog(BaseStage):
    stage_name = "Hog"

    async def run(self) -> None:
        time.sleep(0.5)  # noqa: ASYNC251


class Quits(BaseStage):
    stage_name = "Quits"

    async def run(self) -> None:
        raise SystemExit(3)


STAGES: dict[str, type[BaseStage]] = {
    stage.stage_name: stage for stage in (Count, Approval, Gate, Doomed, Threaded, Hog, Quits)
}


def forget_runs() -> None:
    """Let the stages be as if none had run."""
    for memory in (Count.runs, Approval.steps, Gate.began, Gate.opened):
        memory.clear()
    Doomed.broken = True


def stage(id: str, name: str, next: str | None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": name, "next": next, **fields}


END = {"id": "end", "type": "terminal", "result": {"ok": True}, "artifacts": ["value", "answer"]}
COUNTED = {"value": "value"}


def chain(length: int) -> dict[str, Any]:
    ids = [f"n{i}" for i in range(length)] + ["end"]
    nodes = [stage(here, "Count", then, arguments=COUNTED, outputs=COUNTED) for here, then in pairwise(ids)]
    return {"entry": ids[0], "nodes": [*nodes, END]}


def waiting(**config: Any) -> dict[str, Any]:
    outputs = {"answer": "answer", "receipt": "receipt"}
    return {"entry": "ask", "nodes": [stage("ask", "Approval", "end", outputs=outputs, config=config), END]}


def gated() -> dict[str, Any]:
    return {"entry": "gate", "nodes": [stage("gate", "Gate", "end"), END]}


class Cluster:
    """Engines on one bus, and what a client does there."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.bus: Bus = rig.bus
        self.engines: list[Engine] = []

    async def engine(self, name: str = "one", bus: Bus | None = None, **settings: Any) -> Engine:
        given = {"checkpoint_every": 0.05, "fetch_wait": 0.5, **settings}
        engine = Engine(bus or self.bus, name=name, settings=EngineSettings(**given), stages=STAGES)
        self.engines.append(engine)
        await asyncio.wait_for(engine.start(), PATIENCE)
        return engine

    async def send(self, kind: Any, session: str, body: Any, id: str | None = None) -> int:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.bus.publish(kind, session, data, id)

    async def start(self, session: str, pipeline: Any, **fields: Any) -> int:
        return await self.send("start", session, {"pipeline": pipeline, **fields})

    async def history(self, session: str) -> list[ev.AnyEvent]:
        return [ev.decode(stored.data) for stored in await self.bus.events.read(session)]

    async def until(self, session: str, seen: Callable[[list[ev.AnyEvent]], bool]) -> list[ev.AnyEvent]:
        """The history once it is as wanted."""
        history: list[ev.AnyEvent] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while not seen(history := await self.history(session)):
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{session} came only to {kinds(history)}") from None
        return history

    async def ended(self, session: str) -> list[ev.AnyEvent]:
        final = (ev.SessionCompleted, ev.SessionFailed, ev.SessionStopped)
        return await self.until(session, lambda h: bool(h) and isinstance(h[-1], final))

    async def close(self) -> None:
        for engine in self.engines:
            await engine.kill()


def kinds(history: list[ev.AnyEvent]) -> list[str]:
    return [str(type(event).__struct_config__.tag) for event in history]


def count(history: list[ev.AnyEvent], kind: type) -> int:
    return sum(isinstance(event, kind) for event in history)


async def watch_rejections(cluster: Cluster) -> asyncio.Queue[dict[str, Any]]:
    """Rejections as they are published, decoded."""
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    publish = cluster.bus.commands.reject

    async def reject(session: str, command_seq: int, data: bytes) -> None:
        await publish(session, command_seq, data)
        queue.put_nowait(msgspec.json.decode(data))

    cluster.bus.commands.reject = reject  # type: ignore[method-assign]
    return queue
