"""Nodes and pipelines as documents, and the events a session ends with."""

from typing import Any


def stage(id: str, next: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "S", "next": next, **fields}


def terminal(id: str = "end", **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "terminal", **fields}


def pipeline(*nodes: dict[str, Any], entry: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"entry": entry or nodes[0]["id"], "nodes": list(nodes), **fields}


END = ("session_terminated", "session_completed")
