"""The fields of a pipeline document and of each node type: which there are, and what each may hold.

The validator and the published JSON Schema are both made from these tables, so they cannot disagree about them. A
kind's `schema` says the same as its `fits`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from stageflow_es.pipeline.names import Names
from stageflow_es.pipeline.pointers import kind_of, shown

Fault = tuple[tuple[str | int, ...], str]
"""Where below a field, and what is wrong there."""

PATH_PATTERN: Final = r"^[^.]+(\.[^.]+)*$"


class Kind(msgspec.Struct, frozen=True):
    """What a field may hold: in words, as a JSON Schema, and as code. `faults` explains a value that does not fit."""

    wants: str
    schema: dict[str, Any]
    fits: Callable[[Any], bool]
    parts: Callable[[Any], Iterator[Fault]] | None = None

    def faults(self, value: object) -> Iterator[Fault]:
        """What is wrong with a value that does not fit; never empty. Looked for as it is taken: there may be millions,
        and a report takes only so many."""
        found = self.parts(value) if self.parts is not None else iter(())
        first = next(found, None)
        if first is None:
            yield (), f"must be {self.wants}, not {kind_of(value)}"
        else:
            yield first
            yield from found


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _empty_text(value: object) -> Iterator[Fault]:
    if value == "":
        yield (), "must not be empty"


def is_path(value: object) -> bool:
    """Whether a value is a context path: parts joined by dots, none of them empty."""
    return isinstance(value, str) and "" not in value.split(".")


def _bad_path(value: object) -> Iterator[Fault]:
    if isinstance(value, str):
        what = f"the context path {shown(value)} has an empty part" if value else "a context path must not be empty"
        yield (), f"{what}; write names joined by single dots, like 'order.items.0'"


def _bad_paths(value: object) -> Iterator[Fault]:
    if isinstance(value, dict):
        for name, path in value.items():
            if not is_path(path):
                yield from (((name, *where), message) for where, message in PATH.faults(path))


def _bad_targets(value: object) -> Iterator[Fault]:
    if isinstance(value, dict):
        for name in value:
            if not is_path(name):
                yield from (((name,), message) for _, message in PATH.faults(name))
    yield from _bad_paths(value)


def _bad_list(item: Kind) -> Callable[[object], Iterator[Fault]]:
    def faults(value: object) -> Iterator[Fault]:
        if isinstance(value, list):
            for index, part in enumerate(value):
                if not item.fits(part):
                    yield from (((index, *where), message) for where, message in item.faults(part))

    return faults


def _bad_children(value: object) -> Iterator[Fault]:
    if value == []:
        yield (), "must name at least one child"
    yield from _bad_list(TEXT)(value)
    seen = set()
    for index, child in enumerate(value if isinstance(value, list) else ()):
        if isinstance(child, str) and child in seen:
            yield (index,), f"child {shown(child)} is listed twice; each branch needs a node of its own"
        elif isinstance(child, str):
            seen.add(child)


def _is_children(value: object) -> bool:
    return isinstance(value, list) and value != [] and all(map(_is_text, value)) and len(set(value)) == len(value)


def _enumeration(*allowed: str) -> Kind:
    wants = " or ".join(repr(one) for one in allowed)

    def faults(value: object) -> Iterator[Fault]:
        if isinstance(value, str):
            yield (), f"must be {wants}, not {shown(value)}"

    return Kind(wants, {"enum": list(allowed)}, lambda value: isinstance(value, str) and value in allowed, faults)


def _or_null(kind: Kind) -> Kind:
    schema = {**kind.schema, "type": [kind.schema["type"], "null"]}
    return Kind(f"{kind.wants} or null", schema, lambda value: value is None or kind.fits(value), kind.parts)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 2**63


def _not_positive(value: object) -> Iterator[Fault]:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        yield (), f"must be a whole number of 1 or more, not {shown(value)}"


_PATH_SCHEMA: dict[str, Any] = {"type": "string", "pattern": PATH_PATTERN}

ANY = Kind("any value", {}, lambda value: True)
STRING = Kind("a text", {"type": "string"}, lambda value: isinstance(value, str))
TEXT = Kind("a text", {"type": "string", "minLength": 1}, _is_text, _empty_text)
BOOLEAN = Kind("true or false", {"type": "boolean"}, lambda value: isinstance(value, bool))
POSITIVE = Kind("a whole number", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}, _is_positive, _not_positive)
OBJECT = Kind("an object", {"type": "object"}, lambda value: isinstance(value, dict))
LIST = Kind("a list", {"type": "array"}, lambda value: isinstance(value, list))
PATH = Kind("a context path", _PATH_SCHEMA, is_path, _bad_path)
PATHS = Kind(
    "an object of context paths",
    {"type": "object", "additionalProperties": _PATH_SCHEMA},
    lambda value: isinstance(value, dict) and all(map(is_path, value.values())),
    _bad_paths,
)
TARGETS = Kind(
    "an object of context paths by context path",
    {"type": "object", "propertyNames": _PATH_SCHEMA, "additionalProperties": _PATH_SCHEMA},
    lambda value: isinstance(value, dict) and all(map(is_path, value)) and all(map(is_path, value.values())),
    _bad_targets,
)
PATH_LIST = Kind(
    "a list of context paths",
    {"type": "array", "items": _PATH_SCHEMA},
    lambda value: isinstance(value, list) and all(map(is_path, value)),
    _bad_list(PATH),
)
CHILDREN = Kind(
    "a list of node ids",
    {"type": "array", "items": TEXT.schema, "minItems": 1, "uniqueItems": True},
    _is_children,
    _bad_children,
)
NODES = Kind(
    "a list of nodes",
    {"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1},
    lambda value: isinstance(value, list) and value != [],
    lambda value: iter([((), "must have at least one node")] if value == [] else []),
)
CONDITIONS = Kind(
    "a list of conditions",
    {"type": "array", "items": {"$ref": "#/$defs/condition"}, "minItems": 1},
    lambda value: isinstance(value, list) and value != [],
    lambda value: iter([((), "must have at least one condition")] if value == [] else []),
)
SUBPIPELINES = Kind(
    "an object of pipelines by id",
    {"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": {"$ref": "#/$defs/pipeline"}},
    lambda value: isinstance(value, dict) and "" not in value,
    lambda value: iter([(("",), "a subpipeline's id must not be empty")] if isinstance(value, dict) else []),
)
TEXT_OR_NULL = _or_null(TEXT)


class Field(msgspec.Struct, frozen=True):
    """One field: its kind, whether it must be there, what it means when it is not, and what it is for."""

    kind: Kind
    about: str
    required: bool = False
    default: Any = None


class Fields:
    """The fields of one kind of object."""

    def __init__(self, title: str, fields: dict[str, Field]) -> None:
        self.title = title
        self.by_name = fields
        self.names = Names(fields)


def _node(title: str, **fields: Field) -> Fields:
    shared = {
        "id": Field(TEXT, "the node's name, unique in its document", required=True),
        "type": Field(TEXT, "the node's type", required=True),
        "metadata": Field(OBJECT, "anything; it is kept and not looked at", default={}),
    }
    renamed = {name.rstrip("_"): field for name, field in fields.items()}
    return Fields(title, {**shared, **renamed})


_NEXT = Field(TEXT_OR_NULL, "the node that follows; null ends the scope")

NODE_FIELDS: Final[dict[str, Fields]] = {
    "stage": _node(
        "a stage node",
        stage=Field(TEXT, "the registered stage to run", required=True),
        config=Field(OBJECT, "the stage's configuration", default={}),
        arguments=Field(PATHS, "context path by argument name", default={}),
        outputs=Field(PATHS, "context path by output key", default={}),
        next=_NEXT,
        fallback=Field(TEXT_OR_NULL, "where to go when the stage has failed for good"),
    ),
    "condition": _node(
        "a condition node",
        conditions=Field(CONDITIONS, "tried in order; the first truthy one decides", required=True),
        else_=Field(TEXT_OR_NULL, "where to go when none is truthy; null fails the node"),
    ),
    "parallel": _node(
        "a parallel node",
        children=Field(CHILDREN, "the first node of each branch", required=True),
        policy=Field(_enumeration("all", "any"), "wait for all branches, or for the first success", default="all"),
        cancel_on_error=Field(BOOLEAN, "whether the first failure ends the node; by default under `all` only"),
        next=_NEXT,
    ),
    "map": _node(
        "a map node",
        items=Field(PATH, "where the list is", required=True),
        body=Field(TEXT, "the first node of each iteration", required=True),
        mode=Field(_enumeration("sequential", "parallel"), "one after the other, or together", default="sequential"),
        item_path=Field(PATH, "where an iteration finds its item", default="item"),
        index_path=Field(_or_null(PATH), "where an iteration finds its index"),
        output_map=Field(TARGETS, "path in the parent by path in the iteration", default={}),
        cancel_on_error=Field(BOOLEAN, "whether the first failed item fails the node", default=True),
        max_concurrency=Field(_or_null(POSITIVE), "how many iterations may run together; null: all"),
        next=_NEXT,
    ),
    "subpipeline": _node(
        "a subpipeline node",
        subpipeline_id=Field(TEXT, "which subpipeline to run", required=True),
        inputs=Field(TARGETS, "path in the parent by path in the child", default={}),
        artifact_outputs=Field(TARGETS, "the child's artifact by path in the parent", default={}),
        result_output=Field(_or_null(PATH), "where the parent gets the child's result"),
        next=_NEXT,
    ),
    "terminal": _node(
        "a terminal node",
        result=Field(_or_null(OBJECT), "the result of the scope it ends"),
        artifacts=Field(PATH_LIST, "the paths whose values the scope leaves behind", default=[]),
    ),
}

NODE_TYPES: Final = Names(NODE_FIELDS)

CONDITION_FIELDS: Final = Fields(
    "a condition",
    {
        "if": Field(ANY, "a JSON Logic rule over the context", required=True),
        "then": Field(TEXT, "where to go when it is truthy", required=True),
    },
)

PIPELINE_FIELDS: Final = Fields(
    "a pipeline",
    {
        "entry": Field(TEXT, "the id of the first node", required=True),
        "nodes": Field(NODES, "the nodes, in any order", required=True),
        "api_version": Field(_or_null(STRING), "kept for other tools"),
        "metadata": Field(OBJECT, "anything; it is kept and not looked at", default={}),
        "subpipelines": Field(SUBPIPELINES, "pipelines its subpipeline nodes may run, by id", default={}),
        "max_transitions": Field(POSITIVE, "node transitions after which a session has run away", default=100_000),
    },
)
