"""The catalogue of stages and the pipeline schema in StageFlow's shapes, and what a plain validator makes of them."""

from __future__ import annotations

import datetime
import json
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml

import stageflow_es
from stageflow_es import BaseStage, EventSpec, InputSpec, get_stages
from stageflow_es.docs.schema import (
    generate_pipeline_schema,
    generate_stages_json,
    generate_stages_yaml,
    load_pipeline_schema,
)
from stageflow_es.errors import OperatorError
from stageflow_es.pipeline.document import Walk
from stageflow_es.pipeline.report import Report

from .definitions import ORDER


class Documented(BaseStage):
    """
    description: "What it does"
    arguments:
      who: {type: string}
    config:
      - limit: int
      - name: url
        type: str
        optional: true
        description: "куда"
        default: "http://x"
    outputs: [found]
    """

    stage_name = "Documented"
    category = "tests"
    skipable = True
    allowed_events = [EventSpec(type="progress", description="how far", payload_schema={"done": int})]
    allowed_inputs = [InputSpec(type="answer", payload_schema={"type": "object", "required": ["yes"]})]


SPECS = {
    "stage_name": "Documented",
    "skipable": True,
    "allowed_events": [
        {
            "type": "progress",
            "description": "how far",
            "payload_schema": {
                "type": "object",
                "properties": {"done": {"type": "integer", "format": "int"}},
                "required": ["done"],
            },
        }
    ],
    "allowed_inputs": [
        {
            "type": "answer",
            "description": None,
            "required": True,
            "default": None,
            "payload_schema": {"type": "object", "required": ["yes"]},
        }
    ],
    "category": "tests",
    "description": "What it does",
    "arguments": [{"name": "who", "type": "string", "optional": False, "description": ""}],
    "config": [
        {"name": "limit", "type": "int", "optional": False, "description": ""},
        {"name": "url", "type": "str", "optional": True, "description": "куда", "default": "http://x"},
    ],
    "outputs": [{"name": "found", "type": "any", "optional": False, "description": ""}],
}


def test_the_specs_of_a_stage_have_the_fields_of_stageflow() -> None:
    assert json.loads(generate_stages_json({"Documented": Documented})) == {"Documented": SPECS}
    assert yaml.safe_load(generate_stages_yaml({"Documented": Documented})) == {"Documented": SPECS}


def test_the_catalogue_is_in_the_order_of_the_registry() -> None:
    stages = get_stages()
    assert list(json.loads(generate_stages_json(stages))) == list(stages)
    assert list(yaml.safe_load(generate_stages_yaml(stages))) == list(stages)


def test_an_empty_registry_is_an_empty_object() -> None:
    assert json.loads(generate_stages_json({})) == {}
    assert yaml.safe_load(generate_stages_yaml({})) == {}


def test_what_json_has_no_word_for_is_told_as_text() -> None:
    class Odd(BaseStage):
        """
        description: 2024-01-01
        config:
          since: {default: 2024-01-01}
          rate: {default: .nan}
          self: &self [*self]
          1: {type: [int, str]}
        """

        allowed_inputs = [InputSpec(type="t", default=datetime.date(2024, 1, 2), payload_schema=dict[str, Any])]

    specs = json.loads(generate_stages_json({"Odd": Odd}), parse_constant=pytest.fail)["Odd"]
    assert specs["description"] == "2024-01-01"
    assert [field.get("default") for field in specs["config"]][:2] == ["2024-01-01", "nan"]
    assert specs["config"][2]["type"] == ["…"]
    assert specs["allowed_inputs"][0]["default"] == "2024-01-02"


def test_a_class_that_does_not_say_what_it_is_is_named() -> None:
    class Broken(BaseStage):
        allowed_events = [{"kind": "progress"}]

    with pytest.raises(OperatorError, match="'Broken'"):
        generate_stages_json({"Broken": Broken})


def test_what_makes_documentation_is_among_the_public_names() -> None:
    for name in ("generate_docs_assets", "generate_pipeline_schema", "generate_stages_json", "generate_stages_yaml"):
        assert name in stageflow_es.__all__
        assert callable(getattr(stageflow_es, name))


def test_the_pipeline_schema_allows_exactly_the_stages_of_the_registry() -> None:
    schema = generate_pipeline_schema({"Documented": Documented})
    assert schema["$defs"]["stage_node"]["properties"]["stage"]["enum"] == ["Documented"]
    valid = jsonschema.Draft202012Validator(schema).is_valid
    assert valid({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "Documented"}]})
    assert not valid({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "Other"}]})
    assert "enum" not in load_pipeline_schema()["$defs"]["stage_node"]["properties"]["stage"]


def test_no_stages_means_that_no_stage_node_is_right() -> None:
    valid = jsonschema.Draft202012Validator(generate_pipeline_schema({})).is_valid
    assert valid({"entry": "a", "nodes": [{"id": "a", "type": "terminal"}]})
    assert not valid({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "S"}]})


# --- documents by the table: every field of every node type, with every kind of value ---

FULL: dict[str, dict[str, Any]] = {
    "stage": {
        "id": "x",
        "type": "stage",
        "stage": "Documented",
        "config": {"limit": 1},
        "arguments": {"who": "a.b"},
        "outputs": {"found": "c"},
        "next": "end",
        "fallback": None,
        "metadata": {},
    },
    "condition": {
        "id": "x",
        "type": "condition",
        "conditions": [{"if": {"var": "a"}, "then": "end"}],
        "else": "end",
        "metadata": {"a": 1},
    },
    "parallel": {
        "id": "x",
        "type": "parallel",
        "children": ["end"],
        "policy": "any",
        "cancel_on_error": False,
        "next": None,
        "metadata": {},
    },
    "map": {
        "id": "x",
        "type": "map",
        "items": "a.b",
        "body": "end",
        "mode": "parallel",
        "item_path": "it",
        "index_path": "i",
        "output_map": {"a": "b.c"},
        "cancel_on_error": True,
        "max_concurrency": 3,
        "next": "end",
        "metadata": {},
    },
    "subpipeline": {
        "id": "x",
        "type": "subpipeline",
        "subpipeline_id": "s",
        "inputs": {"a": "b"},
        "artifact_outputs": {"a.b": "c"},
        "result_output": "r",
        "next": "end",
        "metadata": {},
    },
    "terminal": {"id": "x", "type": "terminal", "result": {"a": 1}, "artifacts": ["a.b"], "metadata": {}},
}
VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    2.5,
    2**63,
    "",
    "end",
    "all",
    "parallel",
    "a..b",
    ".",
    "Documented",
    [],
    ["end"],
    ["end", "end"],
    [""],
    [1],
    [None],
    [{"if": True, "then": "end"}],
    [{"if": True}],
    [{"then": "end"}],
    [{"if": True, "then": ""}],
    [{"if": True, "then": "end", "more": 1}],
    {},
    {"a": "b"},
    {"a": ""},
    {"a": 1},
    {"a..b": "c"},
    {"": "c"},
]
END = {"id": "end", "type": "terminal"}


def agreed(node: Any) -> bool:
    """Whether a document with this node is well formed, to a plain validator and to ours, which must agree."""
    answers = set()
    sound = {"entry": "end", "nodes": [END]}
    for document in (
        {"entry": "end", "nodes": [END, node], "subpipelines": {"s": sound}},
        {**sound, "subpipelines": {"s": {"entry": "end", "nodes": [END, node]}}},
    ):
        plain = jsonschema.Draft202012Validator(generate_pipeline_schema({"Documented": Documented}))
        report = Report()
        Walk(report).read(document)
        ours = all("already taken" in problem.message for problem in report.problems())
        known = not (isinstance(node, dict) and node.get("type") == "stage") or node.get("stage") == "Documented"
        answers |= {plain.is_valid(document), ours and known}
    assert len(answers) == 1, node
    return answers.pop()


@pytest.mark.parametrize("kind", FULL)
def test_a_node_with_every_field_is_right(kind: str) -> None:
    assert agreed(FULL[kind])


@pytest.mark.parametrize("kind", FULL)
def test_a_field_with_any_kind_of_value_is_right_or_wrong_to_both_validators(kind: str) -> None:
    refused = 0
    for field in FULL[kind]:
        for value in VALUES:
            refused += not agreed({**FULL[kind], field: value})
    assert refused > len(FULL[kind]) * 5


@pytest.mark.parametrize("kind", FULL)
def test_a_field_may_be_left_out_unless_it_is_required(kind: str) -> None:
    required = {"stage": {"stage"}, "condition": {"conditions"}, "parallel": {"children"}, "map": {"items", "body"}}
    required["subpipeline"] = {"subpipeline_id"}
    for field in FULL[kind]:
        node = {name: value for name, value in FULL[kind].items() if name != field}
        assert agreed(node) is (field not in {"id", "type"} | required.get(kind, set())), field


@pytest.mark.parametrize("kind", FULL)
def test_a_field_of_another_type_or_of_none_is_wrong(kind: str) -> None:
    others = {field: value for node in FULL.values() for field, value in node.items()} | {"nexxt": "end", "": 1}
    for field, value in others.items():
        if field not in FULL[kind]:
            assert not agreed({**FULL[kind], field: value}), field


@pytest.mark.parametrize("node", [None, 1, "x", [], [END], True, {}, {"id": "x"}, {"type": "terminal"}])
def test_what_is_no_node_is_wrong(node: Any) -> None:
    assert not agreed(node)


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"api_version": None}, True),
        ({"api_version": 1}, False),
        ({"max_transitions": 1}, True),
        ({"max_transitions": 0}, False),
        ({"max_transitions": True}, False),
        ({"metadata": []}, False),
        ({"nodes": []}, False),
        ({"nodes": {}}, False),
        ({"entry": ""}, False),
        ({"entry": None}, False),
        ({"subpipelines": {"": {"entry": "end", "nodes": [END]}}}, False),
        ({"subpipelines": []}, False),
        ({"name": "orders"}, False),
    ],
)
def test_a_document_is_right_or_wrong_to_both_validators(change: dict[str, Any], right: bool) -> None:
    document = {**deepcopy(ORDER), **change}
    report = Report()
    Walk(report).read(document)
    assert report.empty is right
    assert jsonschema.Draft202012Validator(load_pipeline_schema()).is_valid(document) is right
