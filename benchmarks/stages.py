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


def loop(rounds: int, *, asks: bool = False) -> dict[str, Any]:
    """A pipeline that goes round a stage and a condition so many times, two transitions a round. `asks`: it waits for
    inputs then, one after the other, for as long as the answer is none.
    """
    end = {"id": "end", "type": "terminal", "artifacts": ["value"]}
    step = {
        "id": "step",
        "type": "stage",
        "stage": "Increment",
        "arguments": {"value": "value"},
        "outputs": {"value": "value"},
        "next": "again",
    }
    rule = {"<": [{"var": "value"}, rounds]}
    again = {
        "id": "again",
        "type": "condition",
        "conditions": [{"if": rule, "then": "step"}],
        "else": "ask" if asks else "end",
    }
    nodes = [step, again, end]
    if asks:
        ask = {"id": "ask", "type": "stage", "stage": "Ask", "outputs": {"answer": "answer"}, "next": "enough"}
        enough = {
            "id": "enough",
            "type": "condition",
            "conditions": [{"if": {"var": "answer"}, "then": "end"}],
            "else": "ask",
        }
        nodes += [ask, enough]
    return {"entry": "step", "nodes": nodes, "max_transitions": 4 * rounds + 1000}


def each(items: int, mode: str) -> dict[str, Any]:
    """A pipeline that maps that many numbers, in the context as `items`, to their successors. `mode`: `sequential` or
    `parallel`.
    """
    body = {
        "id": "step",
        "type": "stage",
        "stage": "Increment",
        "arguments": {"value": "item"},
        "outputs": {"value": "value"},
    }
    node = {
        "id": "each",
        "type": "map",
        "items": "items",
        "body": "step",
        "mode": mode,
        "output_map": {"value": "values"},
        "next": "end",
    }
    end = {"id": "end", "type": "terminal", "artifacts": ["values"]}
    return {"entry": "each", "nodes": [node, body, end], "max_transitions": 4 * items + 1000}
