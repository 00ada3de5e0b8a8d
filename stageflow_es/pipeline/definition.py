"""A pipeline ready to run: typed nodes by id, compiled rules, subpipelines resolved, and the digest that pins it.

Whatever a definition was written as, it is compiled from its canonical bytes. So a session that began with an inline
definition and one that was replayed from the stored bytes run the same thing in the same order, and nothing the
author does to their dict afterwards reaches a running session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Self

import msgspec

from stageflow_es.errors import DefinitionError, Problem
from stageflow_es.pipeline.layout import Layout
from stageflow_es.pipeline.nodes import ConditionNode, Definition, Node, StageNode
from stageflow_es.pipeline.room import with_room
from stageflow_es.pipeline.rules import Rule, compile_rules
from stageflow_es.pipeline.spec import Catalog
from stageflow_es.pipeline.validation import errors_of


def canonical(document: object) -> bytes:
    """The one spelling of a JSON document: keys sorted, no white space. Raises DefinitionError if it is not JSON."""
    try:
        return msgspec.json.encode(document, order="sorted")
    except (TypeError, ValueError, OverflowError, RecursionError) as problem:
        raise DefinitionError([Problem(message=f"this cannot be written as JSON: {problem}")]) from problem


def digest_of(data: bytes) -> str:
    """The SHA-256 of canonical bytes, in hex."""
    return sha256(data).hexdigest()


class _Scope(Mapping[str, "Pipeline"]):
    """The subpipelines one document defines, in front of those around it."""

    def __init__(self, around: Mapping[str, Pipeline]) -> None:
        self.own: dict[str, Pipeline] = {}
        self._around = around

    def __getitem__(self, name: str) -> Pipeline:
        return self.own[name] if name in self.own else self._around[name]

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self._around if name not in self.own)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class Pipeline:
    """A compiled pipeline, never changed after it is made.

    `entry`, `max_transitions` and `metadata` are the document's; `nodes` are by id, and `stage_nodes` those of them
    that run a stage; `raw` is the whole document;
    `subpipelines` are its own and, where it has none of that name, those of the documents around it.
    """

    def __init__(self, raw: dict[str, Any], definition: Definition, inherited: Mapping[str, Pipeline]) -> None:
        self.raw = raw
        self.entry = definition.entry
        self.max_transitions = definition.max_transitions
        self.metadata = definition.metadata
        self.nodes = MappingProxyType({node.id: node for node in definition.nodes})
        self.stage_nodes: Mapping[str, StageNode] = {
            node.id: node for node in definition.nodes if isinstance(node, StageNode)
        }
        self._conditions = {
            node.id: compile_rules(condition.when for condition in node.conditions)
            for node in definition.nodes
            if isinstance(node, ConditionNode)
        }
        self.subpipelines: Mapping[str, Pipeline] = inherited
        if definition.subpipelines:
            scope = _Scope(inherited)
            for name, child in definition.subpipelines.items():
                scope.own[name] = Pipeline(raw["subpipelines"][name], child, scope)
            self.subpipelines = scope

    @classmethod
    def from_dict(cls, data: Any, *, stages: Catalog | None = None) -> Self:
        """Compile a definition. Raises DefinitionError with everything that is wrong with it.

        `stages` are the stages it may use; None leaves out the checks that need them.
        """
        problems = errors_of(data, stages)
        if problems:
            raise DefinitionError(problems)
        return cls.trusted(canonical(data))

    @classmethod
    def from_json(cls, data: bytes | str, *, stages: Catalog | None = None) -> Self:
        """Compile a definition from its JSON text. Raises DefinitionError, for a key that stands twice too."""
        document = _decode(data)
        text = data if isinstance(data, str) else data.decode("utf-8", "replace")
        problems = [*Layout(text).repeated, *errors_of(document, stages)]
        if problems:
            raise DefinitionError(problems)
        return cls.trusted(canonical(document))

    @classmethod
    def trusted(cls, data: bytes) -> Self:
        """Compile canonical bytes that were validated when they were stored. Raises DefinitionError if they are not a
        definition this release can run."""
        raw = _decode(data)
        try:
            return with_room(cls, raw, msgspec.convert(raw, Definition), {})
        except (msgspec.ValidationError, ValueError, RecursionError) as problem:
            raise DefinitionError([Problem(message=f"the stored definition cannot be run: {problem}")]) from problem

    def node(self, id: str) -> Node:
        """The node with this id. Raises DefinitionError if there is none."""
        try:
            return self.nodes[id]
        except KeyError:
            raise DefinitionError([Problem(path="/nodes", message=f"there is no node {id!r}")]) from None

    def conditions(self, node_id: str) -> tuple[Rule, ...]:
        """The compiled rules of a condition node, in order. Raises DefinitionError if it is no condition node."""
        try:
            return self._conditions[node_id]
        except KeyError:
            raise DefinitionError([Problem(path="/nodes", message=f"{node_id!r} is no condition node")]) from None

    @cached_property
    def canonical(self) -> bytes:
        """The definition's canonical JSON."""
        return canonical(self.raw)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `canonical`, in hex."""
        return digest_of(self.canonical)

    def __repr__(self) -> str:
        return f"<Pipeline {self.digest[:12]} entry={self.entry!r} nodes={len(self.nodes)}>"


def _decode(data: bytes | str) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError, TypeError) as problem:
        raise DefinitionError([Problem(message=f"this is not JSON: {problem}")]) from problem
