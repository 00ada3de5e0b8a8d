"""The stages and small pipelines these tests share."""

from __future__ import annotations

import asyncio
from typing import Any

from stageflow_es import BaseStage, Pipeline, Session, register_stage

Document = dict[str, Any]


@register_stage("LocalEcho")
class Echo(BaseStage):
    async def run(self) -> None:
        self.set_outputs({"value": self.get_arguments().get("value", self.config.get("value"))})


@register_stage("LocalAsk")
class Ask(BaseStage):
    """
    config: {type: string, timeout: number}
    outputs: {answer: any}
    """

    skipable = True

    async def run(self) -> None:
        answer = await self.wait_input(self.config.get("type", "go"), self.config.get("timeout"))
        self.set_outputs({"answer": None if answer is None else answer["payload"]})


@register_stage("LocalStrictAsk")
class StrictAsk(BaseStage):
    allowed_inputs = [{"type": "go", "payload_schema": {"v": int}}]

    async def run(self) -> None:
        answer = await self.wait_input("go")
        assert answer is not None
        self.set_outputs({"answer": answer["payload"]["v"]})


@register_stage("LocalShortAsk")
class ShortAsk(BaseStage):
    timeout = 0.05

    async def run(self) -> None:
        await self.wait_input("go")
        self.set_outputs({"answer": "in time"})


@register_stage("LocalHangs")
class Hangs(BaseStage):
    timeout = 0.01

    async def run(self) -> None:
        await asyncio.Event().wait()


@register_stage("LocalFlaky")
class Flaky(BaseStage):
    """Fails until its third attempt."""

    retries = 2

    async def run(self) -> None:
        if self.attempt < 3:
            raise RuntimeError(f"attempt {self.attempt}")
        self.set_outputs({"value": self.attempt})


@register_stage("LocalWritesThenFails")
class WritesThenFails(BaseStage):
    async def run(self) -> None:
        self.set_outputs({"value": 1})
        raise RuntimeError("after the write")


@register_stage("LocalCancelled")
class Cancelled(BaseStage):
    """Says in `seen` whether it was cancelled."""

    seen: list[str] = []

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.seen.append(self.stage_id)
            raise


def stage(id: str, name: str, next: str | None = "end", **fields: Any) -> Document:
    return {"id": id, "type": "stage", "stage": name, "next": next, **fields}


def end(*artifacts: str) -> Document:
    return {"id": "end", "type": "terminal", "result": {"status": "ok"}, "artifacts": list(artifacts)}


def pipeline(*nodes: Document, **fields: Any) -> Pipeline:
    return Pipeline.from_dict({"entry": nodes[0]["id"], "nodes": list(nodes), **fields})


def asking(type: str = "go", **config: Any) -> Pipeline:
    """One stage that waits for an input, and ends."""
    return pipeline(stage("ask", "LocalAsk", config={"type": type, **config}, outputs={"answer": "a"}), end("a"))


async def until_waiting(session: Session, type: str = "go") -> None:
    while type not in session.waiting_for:
        await asyncio.sleep(0)
