"""StageFlow: in memory, nothing durable. There is no recovery: what a process held is lost with it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from stageflow import BaseStage, Pipeline, Session, register_stage

from benchmarks.peers.work import STEPS, Work, program


@register_stage("Increment")
class Increment(BaseStage):  # type: ignore[misc]
    """
    description: One more than before.
    arguments:
      value: {type: int}
    outputs:
      value: {type: int}
    """

    async def run(self) -> None:
        self.set_outputs({"value": self.get_arguments()["value"] + 1})


@register_stage("Ask")
class Ask(BaseStage):  # type: ignore[misc]
    """
    description: Waits for one input.
    outputs:
      answer: {type: any}
    """

    async def run(self) -> None:
        answer = await self.wait_input("answer")
        self.set_outputs({"answer": answer["payload"]})


def _pipeline(stage: str, key: str, count: int, arguments: dict[str, Any]) -> Pipeline:
    """So many stages of one kind in a row, each of which writes `key`."""
    names = [*(f"step{number}" for number in range(count)), "end"]
    shared = {"type": "stage", "stage": stage, "arguments": arguments, "outputs": {key: key}}
    steps = [{"id": name, "next": after, **shared} for name, after in pairwise(names)]
    begin = {"id": "begin", "type": "entry", "variables": {"value": 0}, "next": "step0"}
    return Pipeline.from_dict({"nodes": [begin, *steps, {"id": "end", "type": "terminal", "artifacts": [key]}]})


class StageFlow(Work):
    async def open(self) -> None:
        self._chain = _pipeline("Increment", "value", STEPS, {"vars": {"value": "value"}})
        self._asking = _pipeline("Ask", "answer", 1, {})
        self._waiting: dict[str, tuple[Session, asyncio.Task[Any]]] = {}

    async def close(self) -> None:
        for _, task in self._waiting.values():
            task.cancel()

    async def run(self, name: str) -> None:
        result = await Session(id=name, pipeline=self._chain).run()
        assert result.artifacts == {"value": STEPS}

    async def ask(self, name: str) -> None:
        session = Session(id=name, pipeline=self._asking)
        self._waiting[name] = session, asyncio.create_task(session.run())
        while not session.is_waiting_for("answer"):
            await asyncio.sleep(0)

    async def answer(self, name: str) -> None:
        session, task = self._waiting.pop(name)
        await session.input("answer", {"approved": True})
        await task

    async def recover(self, names: list[str]) -> None:
        raise NotImplementedError("lost")


if __name__ == "__main__":
    program(StageFlow)
