"""Pipelines written in Python: StageFlow's own node objects, conditions and rules, and the `Pipeline` made of them.

    Pipeline(entry="ask", nodes=[StageNode(id="ask", type="stage", stage="Ask", next="end"),
                                 TerminalNode(id="end", type="terminal", result={"status": "ok"})])

They describe; what runs is the compiled `pipeline.Pipeline` they come to. Names and fields are StageFlow's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar, Self

from stageflow_es.pipeline import Catalog, Rule, compile_rule, condition_data
from stageflow_es.pipeline import Pipeline as CompiledPipeline
from stageflow_es.session.paths import copy
from stageflow_es.stages import BaseStage, Context, catalog, get_stage


class JsonLogic:
    """A rule, compiled when it is first evaluated."""

    def __init__(self, condition: Any) -> None:
        self.condition = condition

    def evaluate(self, context: Context) -> Any:
        """The rule's value over a context. Raises RuleError, which is a ValueError."""
        if not isinstance(context, Context):
            raise TypeError(
                f"a rule is evaluated over a Context, such as Context(payload={{...}}), not {context!r:.80}"
            )
        return self._rule.evaluate(condition_data(context.payload))

    @cached_property
    def _rule(self) -> Rule:
        return compile_rule(self.condition)


@dataclass
class Condition:
    """One branch of a condition node."""

    if_condition: JsonLogic
    then_goto: str

    def __post_init__(self) -> None:
        if not isinstance(self.if_condition, JsonLogic):
            raise TypeError(f"the rule of a condition is a JsonLogic, not {self.if_condition!r:.80}")

    def to_dict(self) -> dict[str, Any]:
        return {"if": self.if_condition.condition, "then": self.then_goto}


@dataclass
class Node:
    """What all nodes have. `type` is the node type's name."""

    id: str
    type: str

    _spelled: ClassVar[dict[str, str]] = {}
    """Attributes that a definition spells otherwise."""

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) is None and each.default_factory is not MISSING:
                setattr(self, each.name, each.default_factory())

    def to_dict(self) -> dict[str, Any]:
        """The node as a definition has it, without what is not set."""
        given = [each for each in fields(self) if getattr(self, each.name) != _default(each)]
        return {self._spelled.get(each.name, each.name): getattr(self, each.name) for each in given}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Node:
        """The node a definition describes. Raises ValueError for an unknown type, stage or field."""
        if not isinstance(data, Mapping):
            raise ValueError(f"a node of a definition is an object, not {data!r:.80}")
        kind = _KINDS.get(str(data.get("type")))
        if kind is None:
            raise ValueError(f"unknown node type {data.get('type')!r}: it is one of {', '.join(_KINDS)}")
        attributes = {spelled: name for name, spelled in kind._spelled.items()}
        try:
            return kind(**{attributes.get(name, name): value for name, value in data.items()})
        except TypeError as problem:
            raise ValueError(f"node {data.get('id')!r} is no {data['type']} node: {problem}") from None


def _default(attribute: Field[Any]) -> Any:
    return attribute.default if attribute.default_factory is MISSING else attribute.default_factory()


@dataclass
class StageNode(Node):
    """Runs a registered stage. Raises ValueError when there is none of that name."""

    stage: str
    config: dict[str, Any] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    next: str | None = None
    fallback: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        get_stage(self.stage)

    def get_stage_class(self) -> type[BaseStage]:
        return get_stage(self.stage)


def _condition(given: Any) -> Condition:
    """A condition as it is given: as one, or as a definition has it."""
    if isinstance(given, Condition):
        return given
    if not (isinstance(given, dict) and given.keys() >= {"if", "then"}):
        raise ValueError(f"a condition is a Condition, or an object with `if` and `then`, not {given!r:.80}")
    return Condition(JsonLogic(given["if"]), given["then"])


@dataclass
class ConditionNode(Node):
    """Goes where its first truthy condition says, else to `else_goto`."""

    conditions: list[Condition]
    else_goto: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    _spelled: ClassVar[dict[str, str]] = {"else_goto": "else"}

    def __post_init__(self) -> None:
        super().__post_init__()
        self.conditions = [_condition(given) for given in self.conditions]

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "conditions": [condition.to_dict() for condition in self.conditions]}


@dataclass
class ParallelNode(Node):
    """Runs its children side by side. `cancel_on_error` None: the policy's default."""

    children: list[str]
    policy: str = "all"
    next: str | None = None
    cancel_on_error: bool | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class MapNode(Node):
    """Runs `body` once per item."""

    items: str
    body: str
    mode: str = "sequential"
    item_path: str = "item"
    index_path: str | None = None
    output_map: dict[str, str] = field(default_factory=dict)
    cancel_on_error: bool = True
    max_concurrency: int | None = None
    next: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class SubPipelineNode(Node):
    """Runs a subpipeline."""

    subpipeline_id: str
    inputs: dict[str, str] = field(default_factory=dict)
    artifact_outputs: dict[str, str] = field(default_factory=dict)
    result_output: str | None = None
    next: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class TerminalNode(Node):
    """Ends the pipeline, or its branch, item or subpipeline."""

    artifact_paths: list[str] = field(default_factory=list)
    result: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    _spelled: ClassVar[dict[str, str]] = {"artifact_paths": "artifacts"}


_KINDS: dict[str, type[Node]] = {
    "stage": StageNode,
    "condition": ConditionNode,
    "parallel": ParallelNode,
    "map": MapNode,
    "subpipeline": SubPipelineNode,
    "terminal": TerminalNode,
}


class Pipeline:
    """A pipeline over the stages registered in this process. `raw_json` is its definition."""

    def __init__(
        self,
        entry: str,
        nodes: Sequence[Node],
        metadata: dict[str, Any] | None = None,
        raw_json: dict[str, Any] | None = None,
        subpipelines: dict[str, Any] | None = None,
    ) -> None:
        if not (isinstance(nodes, Sequence) and all(isinstance(node, Node) for node in nodes)):
            raise TypeError("the nodes of a Pipeline are node objects, such as StageNode: for others see `from_dict`")
        self.entry = entry
        self.metadata = metadata or {}
        self.subpipelines = subpipelines or {}
        self._nodes: list[Node] | None = list(nodes)
        self.raw_json: dict[str, Any] = raw_json or self._document(nodes)

    def _document(self, nodes: Sequence[Node]) -> dict[str, Any]:
        optional = {"metadata": self.metadata, "subpipelines": self.subpipelines}
        document = {"entry": self.entry, "nodes": [node.to_dict() for node in nodes]}
        return document | {name: value for name, value in optional.items() if value}

    @classmethod
    def from_dict(cls, data: Any, *, stages: Catalog | None = None) -> Self:
        """The pipeline of a definition. Raises DefinitionError, which is a ValueError, with everything that is wrong
        with it. `stages`: those it may use, if not the registered ones."""
        return cls.of(CompiledPipeline.from_dict(data, stages=catalog() if stages is None else stages))

    @classmethod
    def of(cls, compiled: CompiledPipeline) -> Self:
        """A compiled pipeline as StageFlow's users know it."""
        raw = copy(compiled.raw)
        pipeline = cls(raw["entry"], [], raw.get("metadata"), raw, raw.get("subpipelines"))
        pipeline._nodes = None
        pipeline.__dict__["compiled"] = compiled
        return pipeline

    @classmethod
    def from_json(cls, data: bytes | str, *, stages: Catalog | None = None) -> Self:
        """The pipeline of a definition's JSON text. Raises DefinitionError."""
        return cls.of(CompiledPipeline.from_json(data, stages=catalog() if stages is None else stages))

    @property
    def nodes(self) -> list[Node]:
        """The nodes, in the definition's order."""
        if self._nodes is None:
            self._nodes = [Node.from_dict(node) for node in self.raw_json["nodes"]]
        return self._nodes

    @cached_property
    def compiled(self) -> CompiledPipeline:
        """The pipeline as it runs. Raises DefinitionError."""
        return CompiledPipeline.from_dict(self.raw_json, stages=catalog())

    @property
    def digest(self) -> str:
        """SHA-256 of the definition's canonical JSON, in hex."""
        return self.compiled.digest

    def validate(self) -> bool:
        """True. Raises DefinitionError, which is a ValueError, with everything that is wrong."""
        return bool(self.compiled)

    def get_node(self, node_id: str) -> Node:
        """The node with this id. Raises ValueError when there is none."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise ValueError(f"the pipeline has no node {node_id!r}")

    def get_entry_node(self) -> Node:
        return self.get_node(self.entry)


__all__ = [
    "Condition",
    "ConditionNode",
    "JsonLogic",
    "MapNode",
    "Node",
    "ParallelNode",
    "Pipeline",
    "StageNode",
    "SubPipelineNode",
    "TerminalNode",
]
