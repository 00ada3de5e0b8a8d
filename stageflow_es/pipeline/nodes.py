"""The six node types, with exactly StageFlow's fields. Unknown fields are an error of the definition."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class _Node(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="type"
):
    id: str
    metadata: dict[str, Any] = {}


class StageNode(_Node, frozen=True, kw_only=True, tag="stage"):
    """Runs a registered stage. `arguments`: name -> context path; `outputs`: output key -> context path."""

    stage: str
    config: dict[str, Any] = {}
    arguments: dict[str, str] = {}
    outputs: dict[str, str] = {}
    next: str | None = None
    fallback: str | None = None


class Condition(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"when": "if"}, omit_defaults=True
):
    """One branch of a condition node: a JSON Logic rule and where to go when it is truthy."""

    when: Any
    then: str


class ConditionNode(_Node, frozen=True, kw_only=True, tag="condition", rename={"otherwise": "else"}):
    """Goes where the first truthy condition says, else to `else`, else fails."""

    conditions: list[Condition]
    otherwise: str | None = None


class ParallelNode(_Node, frozen=True, kw_only=True, tag="parallel"):
    """Runs `children` side by side. `cancel_on_error` None means the policy's default: all -> true, any -> false."""

    children: list[str]
    policy: Literal["all", "any"] = "all"
    cancel_on_error: bool | None = None
    next: str | None = None

    @property
    def first_failure_ends(self) -> bool:
        """Whether the first failed branch fails the node."""
        return self.policy == "all" if self.cancel_on_error is None else self.cancel_on_error


class MapNode(_Node, frozen=True, kw_only=True, tag="map"):
    """Runs `body` once per entry of the list at `items`, each in its own frame; only `output_map` leaves it."""

    items: str
    body: str
    mode: Literal["sequential", "parallel"] = "sequential"
    item_path: str = "item"
    index_path: str | None = None
    output_map: dict[str, str] = {}
    cancel_on_error: bool = True
    max_concurrency: int | None = None
    next: str | None = None

    @property
    def width(self) -> int | None:
        """How many iterations may run at once; None: all."""
        return 1 if self.mode == "sequential" else self.max_concurrency


class SubpipelineNode(_Node, frozen=True, kw_only=True, tag="subpipeline"):
    """Runs a subpipeline with a root context of its own. `inputs`: child path -> parent path."""

    subpipeline_id: str
    inputs: dict[str, str] = {}
    artifact_outputs: dict[str, str] = {}
    result_output: str | None = None
    next: str | None = None


class TerminalNode(_Node, frozen=True, kw_only=True, tag="terminal"):
    """Ends its scope with `result` and the values at `artifacts`."""

    result: dict[str, Any] | None = None
    artifacts: list[str] = []


Node = StageNode | ConditionNode | ParallelNode | MapNode | SubpipelineNode | TerminalNode


class Definition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A pipeline document as written: the nodes by position, subpipelines nested."""

    entry: str
    nodes: list[Node]
    api_version: str | None = None
    metadata: dict[str, Any] = {}
    subpipelines: dict[str, Definition] = {}
    max_transitions: int = 100_000
