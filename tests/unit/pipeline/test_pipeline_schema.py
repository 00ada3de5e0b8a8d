"""The published JSON Schema of a pipeline: a plain validator applies it to every node by its type."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from stageflow_es.pipeline import nodes, pipeline_schema
from stageflow_es.pipeline.fields import CONDITION_FIELDS, NODE_FIELDS, PIPELINE_FIELDS, Fields

END = {"id": "end", "type": "terminal"}


def is_valid(data: Any, **more: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(pipeline_schema(**more)).is_valid(data))


def test_it_is_a_schema_and_plain_json() -> None:
    schema = pipeline_schema(["B", "A"])
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


def test_it_has_a_definition_for_each_node_type() -> None:
    wanted = {"pipeline", "node", "condition", *(f"{type_}_node" for type_ in NODE_FIELDS)}
    assert set(pipeline_schema()["$defs"]) == wanted


@pytest.mark.parametrize(
    "node",
    [
        {"id": "a", "type": "stage"},
        {"id": "a", "type": "stage", "stage": "S", "argumens": {}},
        {"id": "a", "type": "condition", "conditions": []},
        {"id": "a", "type": "condition", "conditions": [{"if": True, "then": "end", "x": 1}]},
        {"id": "a", "type": "parallel", "children": ["end", "end"]},
        {"id": "a", "type": "map", "items": "x"},
        {"id": "a", "type": "map", "items": "a..b", "body": "end"},
        {"id": "a", "type": "subpipeline"},
        {"id": "a", "type": "terminal", "result": 3},
        {"id": "a", "type": "nope"},
        {"id": "a"},
    ],
)
def test_a_node_is_held_to_the_definition_of_its_type_at_any_depth(node: dict[str, Any]) -> None:
    sound = {"entry": "end", "nodes": [END]}
    assert is_valid({**sound, "subpipelines": {"s": sound}})
    assert not is_valid({"entry": "end", "nodes": [END, node]})
    assert not is_valid({**sound, "subpipelines": {"s": {"entry": "end", "nodes": [END, node]}}})


def test_the_stages_given_are_the_stages_allowed() -> None:
    data = {"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "Work"}]}
    assert is_valid(data)
    assert is_valid(data, stages=["Work"])
    assert not is_valid(data, stages=["Other"])


def test_one_schema_does_not_change_another() -> None:
    pipeline_schema(["A"])["$defs"]["stage_node"]["properties"]["config"]["x"] = 1
    assert "enum" not in pipeline_schema()["$defs"]["stage_node"]["properties"]["stage"]
    assert "x" not in pipeline_schema()["$defs"]["stage_node"]["properties"]["config"]


@pytest.mark.parametrize(
    ("fields", "struct"),
    [
        (NODE_FIELDS["stage"], nodes.StageNode),
        (NODE_FIELDS["condition"], nodes.ConditionNode),
        (NODE_FIELDS["parallel"], nodes.ParallelNode),
        (NODE_FIELDS["map"], nodes.MapNode),
        (NODE_FIELDS["subpipeline"], nodes.SubpipelineNode),
        (NODE_FIELDS["terminal"], nodes.TerminalNode),
        (CONDITION_FIELDS, nodes.Condition),
        (PIPELINE_FIELDS, nodes.Definition),
    ],
)
def test_the_tables_say_what_the_types_say(fields: Fields, struct: Any) -> None:
    typed = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    tag = {"type"} if struct.__struct_config__.tag else set()
    assert set(fields.by_name) == set(typed) | tag
    for name, field in typed.items():
        table = fields.by_name[name]
        assert table.required == field.required, name
        if not field.required:
            default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
            assert table.default == default, name
