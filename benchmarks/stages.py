"""The stages that are run: as little work as there can be, so that the engine's own is seen."""

from __future__ import annotations

from typing import Any, ClassVar

from stageflow_es import BaseStage, register_stage


@register_stage("Increment")
class Increment(BaseStage):
    """
    description: One more than before.
    arguments:
      value: {type: int}
    outputs:
      value: {type: int}
    """

    async def run(self) -> None:
        self.set_outputs({"value": (self.get_arguments()["value"] or 0) + 1})


@register_stage("Ask")
class Ask(BaseStage):
    """
    description: Waits for one input.
    outputs:
      answer: {type: any}
    """

    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "answer"}]

    async def run(self) -> None:
        answer = await self.wait_input("answer")
        self.set_outputs({"answer": answer["payload"] if answer else None})


def chain(length: int) -> dict[str, Any]:
    """A pipeline of that many increments in a row."""
    nodes: list[dict[str, Any]] = [
        {
            "id": f"step{i}",
            "type": "stage",
            "stage": "Increment",
            "arguments": {"value": "value"},
            "outputs": {"value": "value"},
            "next": f"step{i + 1}" if i + 1 < length else "end",
        }
        for i in range(length)
    ]
    return {"entry": "step0", "nodes": [*nodes, {"id": "end", "type": "terminal", "artifacts": ["value"]}]}


ASK: dict[str, Any] = {
    "entry": "ask",
    "nodes": [
        {"id": "ask", "type": "stage", "stage": "Ask", "outputs": {"answer": "answer"}, "next": "end"},
        {"id": "end", "type": "terminal", "artifacts": ["answer"]},
    ],
}
