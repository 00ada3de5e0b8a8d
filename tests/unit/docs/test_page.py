"""The page of stages and pipelines: what is on it, and that nothing on it can be anything but text."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest

from stageflow_es import BaseStage, EventSpec, InputSpec, generate_docs_assets, get_stages
from stageflow_es.docs.markup import Markup, tag, text, void
from stageflow_es.docs.node_types import NODE_PAGES, NodeType
from stageflow_es.docs.schema import generate_pipeline_schema, stage_specs
from stageflow_es.docs.stage_cards import example_node
from stageflow_es.pipeline import validate
from stageflow_es.pipeline.fields import NODE_FIELDS
from stageflow_es.stages import catalog, registry

from .definitions import ORDER
from .hostile import NASTY, nasty_pipeline, nasty_stage
from .registered import BUILTIN, builtin_stages

VOID = {"meta", "input"}


class Page(HTMLParser):
    """The elements of a page, and whether each is closed where it should be."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(autouse=True, scope="module")
def only_builtin_stages() -> Iterator[None]:
    with builtin_stages():
        yield


@pytest.fixture(scope="module")
def assets(only_builtin_stages: None) -> tuple[str, dict[str, Any], str]:
    return generate_docs_assets({"order": ORDER})


@pytest.fixture
def nasty() -> Iterator[Page]:
    """The page with a stage and a pipeline whose every word wants to be markup."""
    with builtin_stages():
        nasty_stage()
        yield Page(generate_docs_assets({NASTY: nasty_pipeline()})[0])


def test_the_assets_have_the_shapes_of_stageflow(assets: tuple[str, dict[str, Any], str]) -> None:
    html, schema, stages_json = assets
    assert html.startswith("<!doctype html>")
    assert schema["$defs"]["stage_node"]["properties"]["stage"]["enum"] == sorted(get_stages())
    assert list(json.loads(stages_json)) == list(get_stages())


def test_every_stage_has_one_card_in_its_category(assets: tuple[str, dict[str, Any], str]) -> None:
    page = Page(assets[0])
    cards = [one for one in page.all("article") if "stage" in one.get("class", "").split()]
    assert len(cards) == len(get_stages())
    assert len({card["id"] for card in cards}) == len(cards)
    for name in get_stages():
        assert sum(card["data-words"].startswith(name.lower()) for card in cards) >= 1
    categories = {one["data-category"] for one in page.all("section") if "data-category" in one}
    assert categories == {stage.category or "default" for stage in get_stages().values()}


def test_no_id_is_given_twice_and_every_link_inside_leads_somewhere(assets: tuple[str, dict[str, Any], str]) -> None:
    page = Page(assets[0])
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {link["href"].removeprefix("#") for link in page.all("a") if link["href"].startswith("#")}
    assert targets <= set(ids)


def test_the_downloads_are_the_schema_and_the_stages(assets: tuple[str, dict[str, Any], str]) -> None:
    downloads = {link["download"]: link["href"] for link in Page(assets[0]).all("a") if "download" in link}
    assert set(downloads) == {"pipeline.schema.json", "stages.json"}
    content = {name: json.loads(b64decode(href.partition("base64,")[2])) for name, href in downloads.items()}
    assert content == {"pipeline.schema.json": assets[1], "stages.json": json.loads(assets[2])}


def test_the_page_may_run_its_own_script_and_style_and_nothing_else(assets: tuple[str, dict[str, Any], str]) -> None:
    policy = next(
        meta["content"] for meta in Page(assets[0]).all("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    )
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    (script,) = re.findall("<script>(.*?)</script>", assets[0], re.DOTALL)
    (style,) = re.findall("<style>(.*?)</style>", assets[0], re.DOTALL)
    assert directives == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
    }


def _hash(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def test_the_page_names_no_other_place(assets: tuple[str, dict[str, Any], str]) -> None:
    page = Page(assets[0])
    for _, attributes in page.elements:
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "srcset", "xlink:href"):
            assert attributes.get(name, "#").startswith(("#", "data:application/json;base64,"))
    assert "url(" not in assets[0]
    assert "@import" not in assets[0]


def test_text_that_wants_to_be_markup_is_text(nasty: Page) -> None:
    clean = Page(generate_docs_assets({"p": nasty_pipeline("x")})[0])
    assert {tag for tag, _ in nasty.elements} == {tag for tag, _ in clean.elements}
    for _, attributes in nasty.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "style")]
        assert attributes.get("href", "#").startswith(("#", "data:application/json;base64,"))
    assert len(nasty.all("script")) == len(nasty.all("style")) == 1
    shown = "".join(nasty.words)
    assert shown.count("<script>") >= 10


def test_what_cannot_be_seen_is_shown(nasty: Page) -> None:
    shown = "".join(nasty.words)
    assert "\u202e" not in shown
    assert "\\u202e" in shown
    assert "\x00" not in shown


def test_a_page_can_be_written_whatever_a_stage_says() -> None:
    assert text("\ud800").encode() == b"\\ud800"


@pytest.mark.parametrize("page", NODE_PAGES, ids=lambda page: page.name)
def test_the_example_of_a_node_type_is_right(page: NodeType) -> None:
    assert validate(page.example, catalog()) == []
    assert jsonschema.Draft202012Validator(generate_pipeline_schema(get_stages())).is_valid(page.example)
    assert next(node["type"] for node in page.example["nodes"] if node["id"] == page.shown) == page.name


def test_every_node_type_is_explained() -> None:
    assert {page.name for page in NODE_PAGES} == set(NODE_FIELDS)


@pytest.mark.parametrize("name", BUILTIN)
def test_the_example_of_a_stage_is_right(name: str) -> None:
    specs = stage_specs(get_stages())
    node = example_node(name, specs[name])
    document = {"entry": "step", "nodes": [node, {"id": "end", "type": "terminal"}]}
    assert validate(document, catalog()) == []
    assert jsonschema.Draft202012Validator(generate_pipeline_schema(get_stages())).is_valid(document)


def test_a_stage_that_says_nothing_has_a_card_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(BaseStage):
        retries = 1
        timeout = None
        blocking = True
        allowed_inputs = [InputSpec()]
        allowed_events = [EventSpec(type="e", payload_schema=int)]

    monkeypatch.setitem(registry._stages, "Silent", Silent)
    shown = "".join(Page(generate_docs_assets()[0]).words)
    for words in (
        "It does not say what it does.",
        "1 retry",
        "no time limit",
        "runs in a thread",
        "waits for anything",
    ):
        assert words in shown


def test_markup_escapes_all_that_is_not_markup() -> None:
    assert tag("a", "<b>", Markup("<i>"), None, href='"><x', hidden=True, title=None) == (
        '<a href="&quot;&gt;&lt;x" hidden>&lt;b&gt;<i></a>'
    )
    assert void("input", name="'") == '<input name="&#x27;">'
