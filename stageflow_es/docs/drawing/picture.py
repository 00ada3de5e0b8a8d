"""A definition as a picture: boxes with the words on them, links with theirs, one panel for each document in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, assert_never

import msgspec

from stageflow_es.docs.drawing.rule_text import rule_text
from stageflow_es.pipeline import (
    ConditionNode,
    Definition,
    MapNode,
    Node,
    ParallelNode,
    Pipeline,
    StageNode,
    SubpipelineNode,
    TerminalNode,
)

BoxKind = Literal["stage", "condition", "parallel", "map", "subpipeline", "terminal"]
LinkKind = Literal["next", "if", "else", "fallback", "child", "body", "join"]


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `about`: what it does, in a few words; `runs`: the panel it opens, if it runs a subpipeline."""

    id: str
    kind: BoxKind
    about: str
    runs: str | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A way from one node to another, by their positions among the panel's boxes. `words` may be long."""

    source: int
    target: int
    kind: LinkKind
    words: str = ""


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """One document: the pipeline itself (`path` is empty) or a subpipeline, named by the documents around it."""

    path: tuple[str, ...]
    title: str
    entry: int
    boxes: list[Box]
    links: list[Link]


def picture(document: Any) -> list[Panel]:
    """The panels of a definition, outer ones first. Raises DefinitionError with everything that is wrong with it;
    whether the stages it names exist makes no difference."""
    raw = Pipeline.from_dict(document).raw
    return list(_panels(msgspec.convert(raw, Definition), (), {}))


def _panels(document: Definition, path: tuple[str, ...], around: dict[str, tuple[str, ...]]) -> Iterator[Panel]:
    known = {**around, **{name: (*path, name) for name in document.subpipelines}}
    position = {node.id: index for index, node in enumerate(document.nodes)}
    title = document.metadata.get("title")
    yield Panel(
        path=path,
        title=title if isinstance(title, str) else "",
        entry=position[document.entry],
        boxes=[_box(node, known) for node in document.nodes],
        links=[
            Link(source=position[node.id], target=position[target], kind=kind, words=words)
            for node in document.nodes
            for kind, target, words in _links(node)
            if target is not None
        ],
    )
    for name, child in document.subpipelines.items():
        yield from _panels(child, (*path, name), known)


def panel_name(path: tuple[str, ...]) -> str:
    """What a panel is called."""
    return " / ".join(path)


def _box(node: Node, known: dict[str, tuple[str, ...]]) -> Box:
    match node:
        case StageNode():
            return Box(id=node.id, kind="stage", about=node.stage)
        case ConditionNode():
            return Box(id=node.id, kind="condition", about="first that is true")
        case ParallelNode():
            about = "all of" if node.policy == "all" else "any of"
            return Box(id=node.id, kind="parallel", about=f"{about} {len(node.children)} branches")
        case MapNode():
            return Box(id=node.id, kind="map", about=f"each of {node.items}{_pace(node)}")
        case SubpipelineNode():
            runs = panel_name(known[node.subpipeline_id])
            return Box(id=node.id, kind="subpipeline", about=f"runs {node.subpipeline_id}", runs=runs)
        case TerminalNode():
            return Box(id=node.id, kind="terminal", about=_result(node))
        case _:
            assert_never(node)


def _pace(node: MapNode) -> str:
    if node.mode == "sequential":
        return ""
    return ", together" if node.max_concurrency is None else f", {node.max_concurrency} at a time"


def _result(node: TerminalNode) -> str:
    """A result in a few words: its values if they are short, else its JSON."""
    if not node.result:
        return "end"
    values = [value for value in node.result.values() if isinstance(value, str)]
    return values[0] if len(node.result) == 1 and values else msgspec.json.encode(node.result).decode()


def _links(node: Node) -> Iterator[tuple[LinkKind, str | None, str]]:
    match node:
        case StageNode():
            yield "next", node.next, ""
            yield "fallback", node.fallback, "if it fails"
        case ConditionNode():
            for condition in node.conditions:
                yield "if", condition.then, rule_text(condition.when)
            yield "else", node.otherwise, "else"
        case ParallelNode():
            for child in node.children:
                yield "child", child, ""
            yield "join", node.next, "then" if node.policy == "all" else "after the first"
        case MapNode():
            yield "body", node.body, "each item"
            yield "join", node.next, "then"
        case SubpipelineNode():
            yield "next", node.next, ""
        case TerminalNode():
            pass
        case _:
            assert_never(node)
