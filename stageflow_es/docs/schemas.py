"""The published schemas in `schemas/`, made from the types that read and write the wire.

`python -m stageflow_es.docs.schemas` writes them; with `--check` it only says which are out of date, and fails then.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

import msgspec
import yaml

from stageflow_es.client.queries import SessionCounts, SessionInfo, SessionPage
from stageflow_es.docs.asyncapi import asyncapi
from stageflow_es.pipeline.schema import pipeline_schema
from stageflow_es.session.events import AnyEvent
from stageflow_es.session.wire import ControlBody, ForkBody, InputBody, Rejection, StartBody

DIRECTORY = Path(__file__).parents[2] / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def documents() -> dict[str, str]:
    """Every published file, by name, as it has to be."""
    schemas = {
        "pipeline.schema.json": pipeline_schema(),
        "commands.schema.json": _schema("What clients send, and the rejection that answers a bad one", _COMMANDS),
        "events.schema.json": _union("One event of a session, as it is stored and delivered", AnyEvent),
        "snapshot.schema.json": _schema("Sessions as the query service answers them", _SNAPSHOT),
    }
    files = {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas.items()}
    files["asyncapi.yaml"] = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=120)
    return files


_COMMANDS = (StartBody, ForkBody, InputBody, ControlBody, Rejection)
_SNAPSHOT = (SessionInfo, SessionPage, SessionCounts)


def _schema(title: str, types: Sequence[Any]) -> dict[str, Any]:
    """A document whose `$defs` are the types; an instance is any of them."""
    refs, components = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    return _titled(title, {"anyOf": list(refs), "$defs": components})


def _union(title: str, union: Any) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([union], ref_template="#/$defs/{name}")
    return _titled(title, {**schema, "$defs": components})


def _titled(title: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"$schema": DIALECT, "title": title, **_dedented(schema)}


def _dedented(schema: Any) -> Any:
    """The schema with its descriptions as every Python has them: from 3.13 on docstrings come without indentation."""
    if isinstance(schema, list):
        return [_dedented(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: cleandoc(value) if key == "description" and isinstance(value, str) else _dedented(value)
        for key, value in schema.items()
    }


def outdated(directory: Path = DIRECTORY) -> list[str]:
    """Names of the published files that are not what the types say."""
    wanted = documents()
    found = {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.*")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def write(directory: Path = DIRECTORY) -> None:
    """Write every published file."""
    directory.mkdir(exist_ok=True)
    for name, content in documents().items():
        (directory / name).write_text(content, encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    if "--check" not in arguments:
        write()
        return 0
    stale = outdated()
    for name in stale:
        print(f"schemas/{name} is not what the types say: run `make schemas`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
