"""The node types as a page explains them: what each is for, and a small pipeline that shows it."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


class NodeType(msgspec.Struct, frozen=True, kw_only=True):
    """`about` says what it does, `notes` what is good to know; `example` is a whole pipeline of built-in stages, and
    `shown` the id of the node in it that the page prints."""

    name: str
    about: str
    notes: list[str]
    example: Json
    shown: str


def _end(id: str = "end", **fields: Any) -> Json:
    return {"id": id, "type": "terminal", **fields}


def _stage(id: str, stage: str, **fields: Any) -> Json:
    return {"id": id, "type": "stage", "stage": stage, **fields}


_STAGE = NodeType(
    name="stage",
    about="Runs a registered stage: values from the context go in, results come back, all of them or none.",
    notes=[
        "When its attempts are used up it goes on at `fallback`, which can read what went wrong under `$error`.",
        "An argument whose path is missing arrives as null.",
    ],
    shown="greet",
    example={
        "entry": "greet",
        "nodes": [
            _stage(
                "greet",
                "TemplateStage",
                config={"template": "Hello, {name}!", "values": {"name": "customer.name"}},
                outputs={"value": "greeting"},
                next="done",
                fallback="sorry",
            ),
            _end("done", result={"status": "ok"}, artifacts=["greeting"]),
            _end("sorry", result={"status": "failed"}),
        ],
    },
)

_CONDITION = NodeType(
    name="condition",
    about="Goes where the first rule that is truthy says. Rules are JSON Logic over the context.",
    notes=[
        "Without a match it goes to `else`; without an `else` that is an error.",
        "It may lead back: loops are fine.",
    ],
    shown="size",
    example={
        "entry": "size",
        "nodes": [
            {
                "id": "size",
                "type": "condition",
                "conditions": [
                    {"if": {">": [{"var": "order.total"}, 10_000]}, "then": "ask"},
                    {"if": {"in": ["express", {"var": "order.tags"}]}, "then": "rush"},
                ],
                "else": "done",
            },
            _stage("ask", "LogStage", config={"message": "a large order"}, next="done"),
            _stage("rush", "LogStage", config={"message": "an urgent order"}, next="done"),
            _end("done", result={"status": "ok"}),
        ],
    },
)

_PARALLEL = NodeType(
    name="parallel",
    about="Runs its children side by side on one context, and goes on when all have succeeded, or the first.",
    notes=[
        "A branch ends at a terminal, at a null `next`, or at the parallel node's own `next`, which runs once.",
        "Under `all` the first failure cancels the others, unless `cancel_on_error` is false.",
    ],
    shown="both",
    example={
        "entry": "both",
        "nodes": [
            {"id": "both", "type": "parallel", "children": ["price", "stock"], "policy": "all", "next": "done"},
            _stage("price", "SetValueStage", config={"value": 42}, outputs={"value": "price"}, next="done"),
            _stage("stock", "SetValueStage", config={"value": 7}, outputs={"value": "stock"}, next="done"),
            _end("done", artifacts=["price", "stock"]),
        ],
    },
)

_MAP = NodeType(
    name="map",
    about="Runs its body once for each item of a list, each in a frame of its own over the context.",
    notes=[
        "Only what `output_map` names leaves an iteration: a list with one entry per item, in the items' order.",
        "`mode` changes the time it takes, never the result.",
    ],
    shown="each",
    example={
        "entry": "each",
        "nodes": [
            {
                "id": "each",
                "type": "map",
                "items": "order.lines",
                "item_path": "line",
                "body": "raise",
                "mode": "parallel",
                "max_concurrency": 8,
                "output_map": {"line.count": "counts"},
                "next": "done",
            },
            _stage("raise", "IncrementStage", arguments={"current": "line.count"}, outputs={"value": "line.count"}),
            _end("done", artifacts=["counts"]),
        ],
    },
)

_SUBPIPELINE = NodeType(
    name="subpipeline",
    about="Runs a pipeline of `subpipelines` with a context of its own, in the same session.",
    notes=[
        "`inputs` fill its context; its artifacts and its result come back where you say.",
        "Inputs, pause and stop reach into it. A pipeline may not run itself, not even round about.",
    ],
    shown="pay",
    example={
        "entry": "pay",
        "nodes": [
            {
                "id": "pay",
                "type": "subpipeline",
                "subpipeline_id": "payment",
                "inputs": {"amount": "order.total"},
                "artifact_outputs": {"order.receipt": "receipt"},
                "result_output": "order.paid",
                "next": "done",
            },
            _end("done", artifacts=["order.receipt"]),
        ],
        "subpipelines": {
            "payment": {
                "entry": "charge",
                "nodes": [
                    _stage(
                        "charge",
                        "CopyValueStage",
                        arguments={"value": "amount"},
                        outputs={"value": "receipt"},
                        next="paid",
                    ),
                    _end("paid", result={"status": "paid"}, artifacts=["receipt"]),
                ],
            }
        },
    },
)

_TERMINAL = NodeType(
    name="terminal",
    about="Ends the session, or the branch, the item or the subpipeline it stands in.",
    notes=["`artifacts` are the paths whose values are kept with the result."],
    shown="shipped",
    example={
        "entry": "mark",
        "nodes": [
            _stage("mark", "SetValueStage", config={"value": "sent"}, outputs={"value": "order.state"}, next="shipped"),
            _end("shipped", result={"status": "shipped"}, artifacts=["order.state"]),
        ],
    },
)

NODE_PAGES = (_STAGE, _CONDITION, _PARALLEL, _MAP, _SUBPIPELINE, _TERMINAL)
