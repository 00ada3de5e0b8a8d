"""The published schemas say what the types say, and accept what is really sent."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from stageflow_es.docs import schemas
from stageflow_es.projection import Health, Queries, endpoints
from stageflow_es.session import events as ev


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in schemas.DIRECTORY.glob("*.json")}


def test_the_published_schemas_are_what_the_types_say() -> None:
    assert schemas.outdated() == [], "run `make schemas`"


def test_a_change_of_a_published_file_is_noticed(tmp_path: Any) -> None:
    schemas.write(tmp_path)
    assert schemas.outdated(tmp_path) == []

    (tmp_path / "events.schema.json").write_text("{}")
    (tmp_path / "left-over.json").write_text("{}")

    assert schemas.outdated(tmp_path) == ["events.schema.json", "left-over.json"]


def test_every_published_schema_is_a_json_schema(published: dict[str, Any]) -> None:
    for schema in published.values():
        jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    ("event", "valid"),
    [
        (ev.SessionStarted(session="s", n=1, at="2024-01-01T00:00:00Z", digest="d", entry="a"), True),
        (ev.WaitingForInput(session="s", n=2, at="", node="a", key="k", wait="w", input_type="go"), True),
        ({"type": "session_started", "session": "s", "n": 1, "at": ""}, False),
        ({"type": "no_such_event", "session": "s", "n": 1, "at": ""}, False),
    ],
)
def test_an_event_is_valid_exactly_when_it_is_one_of_ours(published: dict[str, Any], event: Any, valid: bool) -> None:
    instance = event if isinstance(event, dict) else json.loads(ev.encode(event))
    assert jsonschema.Draft202012Validator(published["events.schema.json"]).is_valid(instance) is valid


def test_every_event_type_is_in_the_schema(published: dict[str, Any]) -> None:
    tags = {kind.__struct_config__.tag for kind in ev.AnyEvent.__args__}
    assert set(published["events.schema.json"]["discriminator"]["mapping"]) == tags


@pytest.mark.parametrize(
    ("kind", "body", "valid"),
    [
        ("StartBody", {"pipeline": "orders", "payload": {"a": 1}, "labels": {"k": "v"}, "paused": True}, True),
        ("StartBody", {"payload": {}}, False),
        ("InputBody", {"type": "approval"}, True),
        ("InputBody", {"type": ""}, False),
        ("ControlBody", {"action": "skip", "scope": None, "reason": None}, True),
        ("ControlBody", {"action": "explode"}, False),
        ("Rejection", {"command": {}, "command_seq": 17, "problems": [{"path": "/x", "message": "no"}]}, True),
    ],
)
def test_a_command_body_is_valid_as_the_contract_says(
    published: dict[str, Any], kind: str, body: dict[str, Any], valid: bool
) -> None:
    schema = {**published["commands.schema.json"], "anyOf": [{"$ref": f"#/$defs/{kind}"}]}
    assert jsonschema.Draft202012Validator(schema).is_valid(body) is valid


def test_every_reference_of_the_asyncapi_document_leads_somewhere(published: dict[str, Any]) -> None:
    document = yaml.safe_load((schemas.DIRECTORY / "asyncapi.yaml").read_text())
    references = list(_references(document))
    assert references
    for reference in references:
        file, _, pointer = reference.partition("#")
        found = published[file.removeprefix("./")] if file else document
        for part in pointer.strip("/").split("/"):
            found = found[part] if part else found


def test_every_query_there_is_is_a_channel() -> None:
    document = yaml.safe_load((schemas.DIRECTORY / "asyncapi.yaml").read_text())
    described = {name.removeprefix("query.") for name in document["channels"] if name.startswith("query.")}
    assert described == set(endpoints(Queries, Health, {}))  # type: ignore[arg-type]


def _references(value: Any) -> Any:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)
