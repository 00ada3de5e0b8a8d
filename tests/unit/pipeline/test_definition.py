"""A compiled pipeline: its nodes, rules and subpipelines, and the digest that pins it."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest

from stageflow_es.errors import DefinitionError
from stageflow_es.pipeline import (
    ConditionNode,
    MapNode,
    ParallelNode,
    Pipeline,
    StageNode,
    StageSpec,
    SubpipelineNode,
    TerminalNode,
    canonical,
    digest_of,
)

END = {"id": "end", "type": "terminal"}


def document(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"entry": nodes[0]["id"], "nodes": list(nodes), **more}


def runs(name: str, id: str = "run") -> dict[str, Any]:
    return {"id": id, "type": "subpipeline", "subpipeline_id": name}


EVERY_TYPE = document(
    {"id": "s", "type": "stage", "stage": "Work", "outputs": {"x": "a.b"}, "next": "c", "fallback": None},
    {"id": "c", "type": "condition", "conditions": [{"if": {"var": "ok"}, "then": "p"}], "else": "end"},
    {"id": "p", "type": "parallel", "children": ["m", "u"], "policy": "any", "next": "end"},
    {"id": "m", "type": "map", "items": "list", "body": "end", "max_concurrency": 3},
    {"id": "u", "type": "subpipeline", "subpipeline_id": "sub"},
    {"id": "end", "type": "terminal", "result": {"ok": True}, "artifacts": ["a"]},
    metadata={"team": "core"},
    max_transitions=500,
    subpipelines={"sub": document(END)},
)


def test_every_node_type_is_typed() -> None:
    pipeline = Pipeline.from_dict(EVERY_TYPE)
    kinds = {id: type(node) for id, node in pipeline.nodes.items()}
    assert kinds == {
        "s": StageNode,
        "c": ConditionNode,
        "p": ParallelNode,
        "m": MapNode,
        "u": SubpipelineNode,
        "end": TerminalNode,
    }
    assert (pipeline.entry, pipeline.max_transitions, pipeline.metadata) == ("s", 500, {"team": "core"})
    assert pipeline.raw == EVERY_TYPE


def test_a_node_that_is_not_there_is_a_definition_error() -> None:
    pipeline = Pipeline.from_dict(document(END))
    with pytest.raises(DefinitionError, match="there is no node 'nope'"):
        pipeline.node("nope")
    with pytest.raises(DefinitionError, match="no condition node"):
        pipeline.conditions("end")


def test_the_rules_of_a_condition_are_compiled_in_order() -> None:
    pipeline = Pipeline.from_dict(
        document(
            {
                "id": "c",
                "type": "condition",
                "conditions": [{"if": {"<": [{"var": "n"}, 0]}, "then": "end"}, {"if": True, "then": "end"}],
            },
            END,
        )
    )
    first, second = pipeline.conditions("c")
    assert pipeline.conditions("c")[0] is first
    assert (first.truthy({"n": 1}), second.truthy({})) == (False, True)


def test_the_digest_is_of_the_canonical_bytes_and_not_of_the_spelling() -> None:
    spelled = json.dumps(EVERY_TYPE, indent=2).encode()
    turned = dict(reversed(EVERY_TYPE.items()))
    one, other = Pipeline.from_json(spelled), Pipeline.from_dict(turned)
    assert one.canonical == other.canonical == canonical(EVERY_TYPE)
    assert one.digest == other.digest == sha256(one.canonical).hexdigest() == digest_of(one.canonical)
    assert Pipeline.from_dict({**EVERY_TYPE, "max_transitions": 501}).digest != one.digest


def test_stored_bytes_compile_to_the_same_pipeline() -> None:
    pipeline = Pipeline.from_dict(EVERY_TYPE)
    stored = Pipeline.trusted(pipeline.canonical)
    assert (stored.digest, dict(stored.nodes), stored.raw) == (pipeline.digest, dict(pipeline.nodes), pipeline.raw)


def test_what_the_author_does_to_the_dict_afterwards_does_not_reach_the_pipeline() -> None:
    data = document({"id": "s", "type": "stage", "stage": "Work", "config": {"a": [1]}})
    pipeline = Pipeline.from_dict(data)
    data["nodes"][0]["config"]["a"].append(2)
    node = pipeline.node("s")
    assert isinstance(node, StageNode)
    assert node.config == {"a": [1]}
    assert pipeline.raw["nodes"][0]["config"] == {"a": [1]}


def test_a_wrong_definition_raises_all_its_errors_and_no_warnings() -> None:
    with pytest.raises(DefinitionError) as raised:
        Pipeline.from_dict(document({"id": "a", "type": "stage", "stage": "X", "next": "b"}, END, extra=1))
    assert [problem.path for problem in raised.value.problems] == ["/extra", "/nodes/0/next"]


def test_warnings_do_not_keep_a_pipeline_from_compiling() -> None:
    pipeline = Pipeline.from_dict(document(END, {"id": "unused", "type": "terminal"}))
    assert set(pipeline.nodes) == {"end", "unused"}


def test_stages_are_checked_only_against_a_catalog() -> None:
    data = document({"id": "a", "type": "stage", "stage": "Work"})
    Pipeline.from_dict(data)
    Pipeline.from_dict(data, stages={"Work": StageSpec(stage_name="Work")})
    with pytest.raises(DefinitionError, match="there is no stage 'Work'"):
        Pipeline.from_dict(data, stages={})


def test_a_subpipeline_sees_its_own_then_what_is_around_it() -> None:
    pipeline = Pipeline.from_dict(
        document(
            runs("outer"),
            subpipelines={
                "shared": document({"id": "from_root", "type": "terminal"}),
                "shadowed": document({"id": "from_root", "type": "terminal"}),
                "outer": document(
                    runs("shared"),
                    runs("shadowed", "run2"),
                    subpipelines={"shadowed": document({"id": "from_outer", "type": "terminal"})},
                ),
            },
        )
    )
    outer = pipeline.subpipelines["outer"]
    assert sorted(pipeline.subpipelines) == ["outer", "shadowed", "shared"]
    assert sorted(outer.subpipelines) == ["outer", "shadowed", "shared"]
    assert len(outer.subpipelines) == 3
    assert outer.subpipelines["shared"] is pipeline.subpipelines["shared"]
    assert outer.subpipelines["shadowed"].entry == "from_outer"
    assert pipeline.subpipelines["shadowed"].entry == "from_root"
    with pytest.raises(KeyError):
        outer.subpipelines["nope"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"entry": 1, "nodes": []}',
        b'{"entry": "a", "nodes": [{"id": "a", "type": "nope"}]}',
        b'{"entry": "a", "nodes": [{"id": "a", "type": "condition",'
        b'"conditions": [{"if": {"method": []}, "then": "a"}]}]}',
        b"[" * 100_000,
    ],
)
def test_stored_bytes_that_are_wrong_are_a_definition_error(data: bytes) -> None:
    with pytest.raises(DefinitionError):
        Pipeline.trusted(data)
    with pytest.raises(DefinitionError):
        Pipeline.from_json(data)


def test_what_cannot_be_json_has_no_canonical_bytes() -> None:
    with pytest.raises(DefinitionError, match="cannot be written as JSON"):
        canonical({"a": object()})
