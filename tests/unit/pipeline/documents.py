"""Definitions to validate, in few words, and what is said of them."""

from __future__ import annotations

from typing import Any

from stageflow_es.pipeline import FieldSpec, StageSpec, validate

END = {"id": "end", "type": "terminal"}
STAGES = {
    "Concat": StageSpec(
        stage_name="Concat",
        arguments=(FieldSpec(name="parts"), FieldSpec(name="separator")),
        config=(FieldSpec(name="parts"), FieldSpec(name="output_key")),
        outputs=(FieldSpec(name="value"),),
    ),
    "Checks": StageSpec(
        stage_name="Checks",
        config=(
            FieldSpec(name="condition", type="object", format="json-logic"),
            FieldSpec(name="text", type="string", format="template"),
            FieldSpec(name="count", type="integer"),
            FieldSpec(name="other", type="Order", format="date"),
        ),
    ),
    "Silent": StageSpec(stage_name="Silent"),
    "Bare": StageSpec(stage_name="Bare", arguments=(), config=(), outputs=()),
}


def document(*nodes: Any, entry: str | None = None, **more: Any) -> dict[str, Any]:
    return {"entry": entry or nodes[0]["id"], "nodes": list(nodes), **more}


def stage(id: str, next: str | None = None, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "Concat", "next": next, **more}


def parallel(id: str, *children: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "parallel", "children": list(children), **more}


def condition(id: str, *targets: str, rule: Any = True, otherwise: str | None = None) -> dict[str, Any]:
    conditions = [{"if": rule, "then": target} for target in targets]
    return {"id": id, "type": "condition", "conditions": conditions, "else": otherwise}


def each(id: str, body: str, **more: Any) -> dict[str, Any]:
    return {"id": id, "type": "map", "items": "list", "body": body, **more}


def checks(rule: Any = True, next: str | None = None, **config: Any) -> dict[str, Any]:
    return {"id": "a", "type": "stage", "stage": "Checks", "next": next, "config": {"condition": rule, **config}}


def runs(name: str, id: str = "run") -> dict[str, Any]:
    return {"id": id, "type": "subpipeline", "subpipeline_id": name}


def errors(data: Any, **more: Any) -> dict[str, str]:
    return {p.path: p.message for p in validate(data, **more) if p.severity == "error"}


def warnings(data: Any, **more: Any) -> dict[str, str]:
    return {p.path: p.message for p in validate(data, **more) if p.severity == "warning"}
