"""Pipelines drawn: what stands on a picture, as SVG and as text."""

from __future__ import annotations

import time
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageflow_es.docs.drawing.outline import Row, outline
from stageflow_es.docs.drawing.picture import picture
from stageflow_es.docs.drawing.rule_text import rule_text
from stageflow_es.docs.drawing.svg import standalone
from stageflow_es.docs.drawing.words import cells, cut, wrap
from stageflow_es.errors import DefinitionError

from .definitions import LARGE, ORDER, choice, end, large, pipeline, stage

SVG = "{http://www.w3.org/2000/svg}"


def drawn(document: Any) -> ElementTree.Element:
    return ElementTree.fromstring(standalone(picture(document)))


def classes(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in root.iter() if name in (one.get("class") or "").split()]


def words(element: ElementTree.Element) -> str:
    return " ".join(" ".join(one.itertext()) for one in element.iter(f"{SVG}text"))


def lines(document: Any) -> list[str]:
    """The text as it is printed, without colours and marks."""
    return [_line(row) for row in outline(picture(document))]


def _line(row: Row) -> str:
    link = row.link.words if row.link else ""
    goal = f"{'^' if row.above else 'v'}{row.goal}" if row.goal else ""
    return row.lead + " ".join(part for part in (row.box.id if row.box else "", link, goal, row.words) if part)


def test_every_node_of_every_document_is_drawn_with_what_it_does() -> None:
    root = drawn(ORDER)
    assert [words(box) for box in classes(root, "box")] == [
        "prepare all of 2 branches",
        "lines each of order.items, 8 at a time",
        "reserve ReserveItem",
        "total TotalOrder",
        "score ScoreCustomer",
        "large first that is true",
        "approve AskForApproval",
        "decided first that is true",
        "pay runs payment",
        "shipped shipped",
        "declined declined",
        "charge ChargeCard",
        "paid paid",
    ]
    assert [words(panel) for panel in classes(root, "frame")] == [""]
    assert any("payment" in words(panel) for panel in classes(root, "panel"))


def test_every_way_is_drawn_by_its_kind_and_says_when_it_is_taken() -> None:
    document = pipeline(
        choice("which", ({"==": [{"var": "kind"}, "a"]}, "work"), ({"var": "other"}, "both"), otherwise="each"),
        stage("work", "end", fallback="which"),
        {"id": "both", "type": "parallel", "children": ["work"], "policy": "any", "next": "end"},
        {"id": "each", "type": "map", "items": "list", "body": "work", "next": "end"},
        end(),
    )
    root = drawn(document)
    kinds = sorted((link.get("class") or "").split()[1] for link in classes(root, "link"))
    assert kinds == ["body", "child", "else", "entry", "fallback", "if", "if", "join", "join", "next"]
    assert sorted(words(one) for one in classes(root, "words")) == sorted(
        ['kind = "a"', "other", "else", "if it fails", "after the first", "each item", "then"]
    )
    (back,) = classes(root, "back")
    assert "fallback" in (back.get("class") or "")


def test_a_definition_that_is_wrong_is_refused_with_everything_that_is_wrong() -> None:
    with pytest.raises(DefinitionError) as refused:
        picture({"entry": "gone", "nodes": [{"id": "a", "type": "stage"}]})
    assert len(refused.value.problems) == 2


def test_stages_that_are_not_registered_are_drawn_all_the_same() -> None:
    assert "NoSuchStage" in standalone(picture(pipeline(stage("a") | {"stage": "NoSuchStage"})))


@pytest.mark.parametrize("kind", LARGE)
def test_two_thousand_nodes_are_drawn_and_told_in_a_few_seconds(kind: str) -> None:
    """Processor time: the machine may be busy with others. A layout that is not bounded takes minutes."""
    began = time.process_time()
    root = drawn(large(kind))
    told = lines(large(kind))
    assert time.process_time() - began < 20
    assert len(classes(root, "box")) == 2_000
    assert len(told) >= 2_000
    assert max(map(len, told)) < 200


def test_many_far_ways_to_one_node_are_told_instead_of_drawn() -> None:
    root = drawn(large("fallbacks", 30))
    told = classes(root, "told")
    assert {words(one) for one in told} == {"if it fails → failed"}
    assert len(told) + sum("fallback" in (link.get("class") or "") for link in classes(root, "way")) >= 20


def test_the_text_tells_what_joins_below_what_parts() -> None:
    document = pipeline(
        choice("size", ({">": [{"var": "total"}, 9]}, "ask"), otherwise="end"), stage("ask", "end"), end()
    )
    assert lines(document) == ["size", "├─ total > 9", "│  ask", "│  vend", "├─ else vend", "end"]


def test_the_text_goes_on_with_the_longest_way_where_none_joins() -> None:
    document = pipeline(
        choice("ok", ({"var": "bad"}, "refused"), otherwise="a"),
        end("refused"),
        stage("a", "b"),
        stage("b", "end"),
        end(),
    )
    assert lines(document) == ["ok", "├─ bad", "│  refused", "▼ else", "a", "b", "end"]


def test_the_text_names_where_a_loop_leads_back_to() -> None:
    document = pipeline(stage("try", "check"), choice("check", ({"var": "again"}, "try"), otherwise="end"), end())
    assert lines(document) == ["try", "check", "├─ again ^try", "├─ else vend", "end"]


def test_the_text_of_an_order_tells_branches_bodies_and_subpipelines() -> None:
    assert lines(ORDER) == [
        "prepare",
        "├─ lines",
        "│  ├─ each item",
        "│  │  reserve",
        "│  ▼ then",
        "│  total",
        "│  vlarge",
        "├─ score",
        "│  vlarge",
        "▼ then",
        "large",
        "├─ order.total < 10000 and customer.score ≥ 50",
        "│  pay",
        "│  shipped",
        "▼ else",
        "approve",
        "decided",
        "├─ decision.approved ^pay",
        "▼ else",
        "declined",
        "",
        "subpipeline payment",
        "charge",
        "paid",
    ]


def test_the_text_tells_every_node_once_and_every_way() -> None:
    for kind in LARGE:
        document = large(kind, 120)
        (panel,) = picture(document)
        rows = list(outline([panel]))
        assert sorted(row.box.id for row in rows if row.box) == sorted(node["id"] for node in document["nodes"])
        named = [row.link for row in rows if row.link is not None]
        assert all(named.count(link) <= 1 for link in panel.links if link.words)


def test_nodes_nobody_reaches_are_told_as_such() -> None:
    assert lines(pipeline(end(), stage("lost")))[1:] == ["", "never reached", "lost"]


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({"var": "a.b"}, "a.b"),
        ({"var": ["a", 3]}, "(a else 3)"),
        ({"var": ""}, "all of it"),
        ({"==": [{"var": "a"}, "x"]}, 'a = "x"'),
        ({"<": [1, {"var": "a"}, 3]}, "1 < a < 3"),
        ({"and": [{"or": [{"var": "a"}, {"var": "b"}]}, {"!": [{"var": "c"}]}]}, "(a or b) and not c"),
        ({"!!": {"var": "a"}}, "a"),
        ({"in": [{"var": "a"}, ["x", "y"]]}, 'a in ["x", "y"]'),
        ({"missing": ["a", "b"]}, 'missing("a", "b")'),
        ({"if": [{"var": "a"}, 1, 2]}, "if(a, 1, 2)"),
        (True, "true"),
        ({}, "{}"),
        ({"a": 1, "b": 2}, '{"a":1,"b":2}'),
    ],
)
def test_a_rule_reads_like_a_formula(rule: Any, wanted: str) -> None:
    assert rule_text(rule) == wanted


def test_a_rule_of_any_depth_has_a_text() -> None:
    rule: Any = {"var": "x"}
    for _ in range(5_000):
        rule = {"!": [[rule]]}
    assert "…" in rule_text(rule)


@given(st.text(max_size=60), st.integers(2, 40))
def test_words_fit_where_they_are_cut_to(text: str, room: int) -> None:
    assert cells(cut(text, room)) <= room
    assert all(cells(line) <= room for line in wrap(text, room, 2))
    assert len(wrap(text, room, 2)) <= 2


@given(st.text(max_size=40))
def test_whatever_a_node_is_called_the_picture_is_well_formed(name: str) -> None:
    if not name:
        return
    root = drawn(pipeline(stage(name) | {"stage": name}, metadata={"title": name}))
    assert len(classes(root, "box")) == 1
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg",
        "style",
        "title",
        "rect",
        "g",
        "path",
        "text",
        "circle",
    }
