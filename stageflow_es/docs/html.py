"""The documentation of the stages and pipelines of this process as one HTML page that needs nothing else.

    html, pipeline_schema, stages_json = generate_docs_assets()

The page fetches nothing and may fetch nothing: its Content Security Policy allows its own style sheet and script, by
their hashes, and no more. Whatever a stage or a pipeline says of itself is text in it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from stageflow_es import __version__
from stageflow_es.docs.drawing.picture import picture
from stageflow_es.docs.drawing.svg import draw
from stageflow_es.docs.fields import field_row, field_table, prose
from stageflow_es.docs.json_view import json_view
from stageflow_es.docs.markup import Markup, join, tag, void
from stageflow_es.docs.node_types import NODE_PAGES, NodeType
from stageflow_es.docs.schema import generate_pipeline_schema, generate_stages_json
from stageflow_es.docs.stage_cards import by_category, catalogue
from stageflow_es.stages import get_stages

SCHEMA_FILE, STAGES_FILE = "pipeline.schema.json", "stages.json"
"""What the downloads are called."""


def generate_docs_assets(pipelines: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any], str]:
    """The page, the pipeline schema that knows the registered stages, and their specs as JSON text.

    `pipelines`: definitions to draw on the page, by name. Raises DefinitionError when one cannot be drawn, and
    OperatorError when a stage's class does not say what it is.
    """
    stages = get_stages()
    schema = generate_pipeline_schema(stages)
    stages_json = generate_stages_json(stages)
    return _page(schema, stages_json, pipelines or {}), schema, stages_json


def _page(schema: dict[str, Any], stages_json: str, pipelines: Mapping[str, Any]) -> str:
    style = Markup(_asset("page.css") + _asset("drawing.css"))
    script = Markup(_asset("page.js"))
    specs = json.loads(stages_json)
    sections = {
        "stages": ("Stages", _stages(specs)),
        "nodes": ("Nodes", join(*(_node_type(page, schema) for page in NODE_PAGES))),
        "pipelines": ("Pipelines", _pipelines(pipelines)),
        "schema": ("Schema", _schema(schema)),
    }
    if not pipelines:
        del sections["pipelines"]
    body = tag(
        "body",
        _head(specs, sections, json.dumps(schema, indent=2), stages_json),
        tag("main", *(tag("section", tag("h2", title), content, id=id) for id, (title, content) in sections.items())),
        tag("footer", f"Made by stageflow-es {__version__} from the stages that were loaded."),
        tag("script", script),
    )
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=_policy(style, script)),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="color-scheme", content="light dark"),
        void("meta", name="referrer", content="no-referrer"),
        tag("title", "Stages and pipelines"),
        tag("style", style),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _asset(name: str) -> str:
    return files("stageflow_es.docs").joinpath("assets", name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere, and of what is inside only this style sheet and this script."""

    def source(content: str) -> str:
        return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _download(name: str, content: str, label: str) -> Markup:
    data = b64encode(content.encode()).decode()
    return tag("a", label, href=f"data:application/json;base64,{data}", download=name, class_="button")


def _head(specs: dict[str, Any], sections: Mapping[str, Any], schema: str, stages_json: str) -> Markup:
    return tag(
        "header",
        tag("h1", "Stages and pipelines"),
        tag(
            "p",
            f"The {len(specs)} stages a pipeline may use here, and the nodes it is made of.",
            class_="lead",
        ),
        tag(
            "p",
            _download(SCHEMA_FILE, schema, "Pipeline schema"),
            _download(STAGES_FILE, stages_json, "Stages as JSON"),
            class_="downloads",
        ),
        tag("nav", *(tag("a", title, href=f"#{id}") for id, (title, _) in sections.items()), aria_label="Sections"),
    )


def _stages(specs: dict[str, Any]) -> Markup:
    categories = by_category(specs)
    chips = [tag("button", "all", type="button", data_pick="", aria_pressed="true")]
    chips += [tag("button", name, type="button", data_pick=name, aria_pressed="false") for name in categories]
    search = tag(
        "div",
        tag("label", "Search stages", for_="search", class_="unseen"),
        void("input", id="search", type="search", placeholder="Search names, words, fields …", autocomplete="off"),
        tag("kbd", "/", aria_hidden="true"),
        tag("div", *chips, class_="chips", role="group", aria_label="Categories"),
        tag("p", f"{len(specs)} of {len(specs)} stages", id="found", role="status"),
        class_="search",
        data_total=str(len(specs)),
    )
    nothing = tag("p", "No stage matches. Fewer words may find more.", id="nothing", hidden=True)
    return join(search, catalogue(specs, get_stages()), nothing)


def _node_type(page: NodeType, schema: dict[str, Any]) -> Markup:
    fields = schema["$defs"][f"{page.name}_node"]
    node = next(one for one in page.example["nodes"] if one["id"] == page.shown)
    return tag(
        "article",
        tag("h3", tag("span", page.name, class_=f"kind {page.name}")),
        tag("p", prose(page.about)),
        tag("ul", *(tag("li", prose(note)) for note in page.notes)),
        tag(
            "div",
            _field_table(fields),
            tag("div", json_view(node), _figure(page.example), class_="example"),
            class_="split",
        ),
        id=f"node-{page.name}",
        class_="card node",
    )


def _field_table(fields: dict[str, Any]) -> Markup:
    rows = [
        field_row(
            name,
            _type(field),
            "required" if name in fields["required"] else "",
            field.get("description", ""),
            field.get("default") or None,
        )
        for name, field in sorted(fields["properties"].items(), key=lambda one: one[0] == "metadata")
        if name != "type"
    ]
    return field_table("fields", rows)


def _type(field: dict[str, Any]) -> str:
    kind = field.get("type", "string" if "enum" in field else "any")
    if "enum" in field and len(field["enum"]) < 5:
        return " | ".join(field["enum"])
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _figure(document: Any) -> Markup:
    return tag("figure", draw(picture(document)), class_="graph", tabindex="0")


def _pipelines(pipelines: Mapping[str, Any]) -> Markup:
    return join(
        *(
            tag(
                "article",
                tag("h3", name),
                _about(document),
                _figure(document),
                tag("details", tag("summary", "Definition"), json_view(document)),
                class_="card",
                id=f"pipeline-{number}",
            )
            for number, (name, document) in enumerate(pipelines.items())
        )
    )


def _about(document: Any) -> Markup | None:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    about = metadata.get("description") if isinstance(metadata, dict) else None
    return tag("p", prose(about)) if isinstance(about, str) else None


def _schema(schema: dict[str, Any]) -> Markup:
    return tag(
        "div",
        tag(
            "p",
            "A JSON Schema (draft 2020-12) of a pipeline document, with the names of these stages. Editors and "
            "validators can use it as it is; what the references in a document come to, ",
            tag("code", "stageflow validate"),
            " checks.",
        ),
        tag("details", tag("summary", "The schema"), json_view(schema)),
        class_="card",
    )
