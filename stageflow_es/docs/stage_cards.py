"""The catalogue of stages on the page: one card for each, by category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stageflow_es.docs.fields import field_row, field_table, prose
from stageflow_es.docs.json_view import json_view
from stageflow_es.docs.markup import Markup, join, tag
from stageflow_es.pipeline.fields import is_path
from stageflow_es.stages import BaseStage

Specs = dict[str, Any]

NO_CATEGORY = "default"
"""StageFlow's name for the category of a stage that has none."""


def by_category(specs: dict[str, Specs]) -> dict[str, dict[str, Specs]]:
    """The specs grouped, categories and names in order."""
    grouped: dict[str, dict[str, Specs]] = {}
    for name in sorted(specs):
        grouped.setdefault(str(specs[name].get("category") or NO_CATEGORY), {})[name] = specs[name]
    return dict(sorted(grouped.items()))


def example_node(name: str, specs: Specs) -> dict[str, Any]:
    """A node that runs the stage, as one might write it: everything it takes mapped, values by their types."""
    config = {field["name"]: _sample(field) for field in _fields(specs, "config") if not field.get("optional")}
    mapped = {
        kind: {field["name"]: _path(field) for field in _fields(specs, kind)} for kind in ("arguments", "outputs")
    }
    optional = {"config": config, **mapped}
    node = {"id": "step", "type": "stage", "stage": name}
    return {**node, **{key: value for key, value in optional.items() if value}, "next": "end"}


def _fields(specs: Specs, kind: str) -> list[Specs]:
    fields = specs.get(kind)
    return (
        [field for field in fields if isinstance(field, dict) and "name" in field] if isinstance(fields, list) else []
    )


def _path(field: Specs) -> str:
    name = str(field["name"])
    return name if is_path(name) else "value"


def _sample(field: Specs) -> Any:
    if field.get("default") is not None:
        return field["default"]
    samples: dict[str, Any] = {"int": 1, "integer": 1, "number": 1, "float": 1.5, "bool": True, "boolean": True}
    samples |= {"list": [], "array": [], "object": {}, "dict": {}}
    if field.get("format") == "json-logic":
        return {"==": [{"var": "status"}, "ok"]}
    return samples.get(str(field.get("type")), "…")


def catalogue(specs: dict[str, Specs], classes: dict[str, type[BaseStage]]) -> Markup:
    """All cards. `classes`: for what the specs do not say."""
    numbers = {name: index for index, name in enumerate(sorted(specs))}
    return join(
        *(
            tag(
                "section",
                tag("h3", category, tag("span", str(len(group)), class_="count")),
                tag(
                    "div",
                    *(_card(name, one, classes[name], numbers[name]) for name, one in group.items()),
                    class_="cards",
                ),
                class_="category",
                data_category=category,
            )
            for category, group in by_category(specs).items()
        )
    )


def _card(name: str, specs: Specs, stage: type[BaseStage], number: int) -> Markup:
    about = str(specs.get("description") or "")
    names = [str(field["name"]) for kind in ("arguments", "config", "outputs") for field in _fields(specs, kind)]
    messages = [str(one.get("type")) for kind in ("allowed_events", "allowed_inputs") for one in specs[kind]]
    words = " ".join([name, about, str(specs.get("category") or NO_CATEGORY), *names, *messages])
    return tag(
        "article",
        tag("h4", tag("a", name, href=f"#stage-{number}")),
        tag("p", prose(about) if about else "It does not say what it does.", class_=None if about else "silent"),
        tag("p", *_badges(specs, stage), class_="badges"),
        *(_table(kind, _fields(specs, kind)) for kind in ("arguments", "config", "outputs")),
        *_messages(specs),
        tag("details", tag("summary", "As a node"), json_view(example_node(name, specs))),
        id=f"stage-{number}",
        class_="card stage",
        data_words=words.lower(),
    )


def _badges(specs: Specs, stage: type[BaseStage]) -> Iterator[Markup]:
    if specs.get("skipable"):
        yield tag("span", "may be skipped", class_="badge")
    if stage.retries:
        yield tag("span", f"{stage.retries} retries" if stage.retries != 1 else "1 retry", class_="badge")
    if stage.blocking:
        yield tag("span", "runs in a thread", class_="badge")
    if stage.timeout != BaseStage.timeout:
        bound = "no time limit" if stage.timeout is None else f"at most {stage.timeout:g} s"
        yield tag("span", bound, class_="badge")


def _table(kind: str, fields: list[Specs]) -> Markup | None:
    rows = [
        field_row(
            str(field["name"]),
            str(field.get("type", "any")),
            "optional" if field.get("optional") else "",
            str(field.get("description") or ""),
            field.get("default"),
        )
        for field in fields
    ]
    return field_table(kind, rows) if rows else None


def _messages(specs: Specs) -> Iterator[Markup]:
    for kind, lead in (("allowed_inputs", "waits for"), ("allowed_events", "emits")):
        for message in specs[kind]:
            schema = message.get("payload_schema")
            yield tag(
                "div",
                tag(
                    "p", f"{lead} ", tag("code", message.get("type") or "anything"), _after(message.get("description"))
                ),
                None if schema is None else tag("details", tag("summary", "Payload"), json_view(schema)),
                class_="message",
            )


def _after(about: Any) -> Markup | None:
    return join(": ", prose(str(about))) if about else None
