"""A pipeline document while it is validated: what of it has the right shape, and all that is wrong with its shape.

What can be used goes on to the other checks even where the rest is wrong, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from stageflow_es.pipeline.fields import CONDITION_FIELDS, NODE_FIELDS, NODE_TYPES, PIPELINE_FIELDS, Fields
from stageflow_es.pipeline.names import Names
from stageflow_es.pipeline.pointers import below, kind_of, shown
from stageflow_es.pipeline.report import Report

MAX_NODES: Final = 10_000
MAX_NESTING: Final = 16


_TARGETS: Final = ("next", "fallback", "else", "body")


class Found:
    """A node with an id. Its type may be unknown (then it is ""), and other fields missing or wrong."""

    __slots__ = ("data", "id", "onward", "pointer", "targets", "type")

    def __init__(self, data: dict[str, Any], pointer: str) -> None:
        self.data = data
        self.pointer = pointer
        self.id: str = data["id"]
        self.type: str = data["type"] if is_node_type(data.get("type")) else ""
        self.targets: list[tuple[tuple[str | int, ...], str]] = list(self._targets())
        """The node ids it names: where below it, and which. Of an unknown type: all it can be meant to name."""
        self.onward = [target for where, target in self.targets if where[0] not in ("children", "body")]
        """Where the cursor of a scope goes from here; branches and bodies have scopes of their own."""

    def text(self, field: str) -> str | None:
        """A field's value if it is a text, else None."""
        value = self.data.get(field)
        return value if isinstance(value, str) and value else None

    def mapping(self, field: str) -> dict[str, Any]:
        """A field's value if it is an object, else an empty one."""
        value = self.data.get(field)
        return value if isinstance(value, dict) else {}

    def conditions(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The conditions that are objects, with their places."""
        conditions = self.data.get("conditions") if self.type in ("condition", "") else None
        for index, condition in enumerate(conditions if isinstance(conditions, list) else ()):
            if isinstance(condition, dict):
                yield index, condition

    def _targets(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        fields = NODE_FIELDS[self.type].by_name if self.type else _TARGETS
        for field in _TARGETS:
            target = self.text(field) if field in fields else None
            if target is not None:
                yield (field,), target
        for index, condition in self.conditions():
            if isinstance(condition.get("then"), str) and condition["then"]:
                yield ("conditions", index, "then"), condition["then"]
        for index, child in self.children():
            yield ("children", index), child

    def children(self) -> Iterator[tuple[int, str]]:
        """The children of a parallel node that are texts, with their places."""
        children = self.data.get("children") if self.type in ("parallel", "") else None
        for index, child in enumerate(children if isinstance(children, list) else ()):
            if isinstance(child, str) and child:
                yield index, child


def is_node_type(value: object) -> TypeGuard[str]:
    """Whether a value is the name of a node type."""
    return isinstance(value, str) and value in NODE_FIELDS


class Document:
    """One document: the pipeline itself or a subpipeline in it. `around` is the document that defines it."""

    def __init__(self, pointer: str, entry: str | None, around: Document | None) -> None:
        self.pointer = pointer
        self.entry = entry
        self.around = around
        self.nodes: list[Found] = []
        self.by_id: dict[str, Found] = {}
        self.own: dict[str, Document] = {}
        self._ids: Names | None = None

    @property
    def ids(self) -> Names:
        """Its node ids, for suggestions."""
        if self._ids is None:
            self._ids = Names(self.by_id)
        return self._ids

    def subpipeline(self, name: str) -> Document | None:
        """The document a subpipeline node in here means by `name`."""
        document: Document | None = self
        while document is not None:
            if name in document.own:
                return document.own[name]
            document = document.around
        return None

    def subpipeline_ids(self) -> Names:
        """The subpipelines its nodes may name."""
        names: set[str] = set()
        document: Document | None = self
        while document is not None:
            names.update(document.own)
            document = document.around
        return Names(names)


class Walk:
    """Reads a document and all documents in it. `documents` are those found, outer ones first."""

    def __init__(self, report: Report) -> None:
        self.documents: list[Document] = []
        self.nodes = 0
        self._report = report

    def read(self, data: object, pointer: str = "", around: Document | None = None, depth: int = 0) -> Document | None:
        """Read one document; None where there is none at all."""
        if not isinstance(data, dict):
            self._report.error(pointer, f"a pipeline must be an object, not {kind_of(data)}")
            return None
        self._check(data, PIPELINE_FIELDS, pointer)
        entry = data.get("entry")
        document = Document(pointer, entry if isinstance(entry, str) and entry else None, around)
        self.documents.append(document)
        nodes = data.get("nodes")
        self.nodes += len(nodes) if isinstance(nodes, list) else 0
        if self.nodes <= MAX_NODES:
            for index, node in enumerate(nodes if isinstance(nodes, list) else ()):
                self._node(node, f"{pointer}/nodes/{index}", document)
        self._subpipelines(data.get("subpipelines"), below(pointer, "subpipelines"), document, depth)
        return document

    def _subpipelines(self, children: object, pointer: str, document: Document, depth: int) -> None:
        if not isinstance(children, dict) or not children:
            return
        if depth == MAX_NESTING:
            self._report.error(pointer, f"subpipelines may be nested {MAX_NESTING} levels deep at most")
            return
        for name, child in children.items():
            found = self.read(child, below(pointer, name), document, depth + 1)
            if found is not None:
                document.own[name] = found

    def _node(self, node: object, pointer: str, document: Document) -> None:
        if not isinstance(node, dict):
            self._report.error(pointer, f"a node must be an object, not {kind_of(node)}")
            return
        type_ = node.get("type")
        if is_node_type(type_):
            self._check(node, NODE_FIELDS[type_], pointer)
        else:
            self._untyped(node, pointer)
        if isinstance(node.get("id"), str) and node["id"]:
            found = Found(node, pointer)
            document.nodes.append(found)
            self._claim_id(found, document)
            self._conditions(found)

    def _claim_id(self, found: Found, document: Document) -> None:
        first = document.by_id.setdefault(found.id, found)
        if first is not found:
            message = f"node id {shown(found.id)} is already taken by {first.pointer}; ids must be unique"
            self._report.error(below(found.pointer, "id"), message)

    def _conditions(self, found: Found) -> None:
        conditions = found.data.get("conditions") if found.type == "condition" else None
        for index, condition in enumerate(conditions if isinstance(conditions, list) else ()):
            where = below(found.pointer, "conditions", index)
            if isinstance(condition, dict):
                self._check(condition, CONDITION_FIELDS, where)
            else:
                self._report.error(where, f"a condition must be an object, not {kind_of(condition)}")

    def _untyped(self, node: dict[str, Any], pointer: str) -> None:
        wanted = ", ".join(NODE_FIELDS)
        type_ = node.get("type")
        if "type" not in node:
            self._report.error(pointer, f"the node has no `type`; it must be one of {wanted}")
        elif isinstance(type_, str):
            near = self._report.near(type_, NODE_TYPES)
            self._report.error(below(pointer, "type"), f"unknown node type {shown(type_)}{near} (there are {wanted})")
        else:
            self._report.error(below(pointer, "type"), f"must be one of {wanted}, not {kind_of(type_)}")

    def _check(self, value: dict[str, Any], fields: Fields, pointer: str) -> None:
        """Report the fields of an object that are unknown, missing, or do not hold what they should."""
        for name, field in fields.by_name.items():
            if name in value:
                if not field.kind.fits(value[name]):
                    for where, message in field.kind.faults(value[name]):
                        self._report.error(below(pointer, name, *where), message)
            elif field.required:
                self._report.error(pointer, f"{fields.title} needs `{name}`: {field.about}")
        for name in value:
            if name not in fields.by_name:
                near = self._report.near(name, fields.names)
                known = "" if near else f" (it may have {', '.join(fields.by_name)})"
                self._report.error(below(pointer, name), f"{fields.title} has no field {shown(name)}{near}{known}")
