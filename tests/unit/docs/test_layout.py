"""The layout: no box on another, links lead down unless they close a cycle, and nothing hangs."""

from __future__ import annotations

import time
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageflow_es.docs.drawing.geometry import Edge, Layout, Point, Size
from stageflow_es.docs.drawing.joins import joins
from stageflow_es.docs.drawing.layout import lay_out
from stageflow_es.docs.drawing.order import Layered, crossings, untangle
from stageflow_es.docs.drawing.ranks import rank, too_far

BOX, LABEL = Size(100, 40), Size(60, 20)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Size], list[Edge]]:
    count = draw(st.integers(1, 12))
    vertex = st.integers(0, count - 1)
    edge = st.builds(Edge, vertex, vertex, st.sampled_from([None, LABEL]), st.booleans())
    sizes = st.builds(Size, st.sampled_from([60.0, 100.0, 220.0]), st.sampled_from([20.0, 46.0]))
    return draw(st.lists(sizes, min_size=count, max_size=count)), draw(st.lists(edge, max_size=24))


def overlap(one: tuple[Point, Size], other: tuple[Point, Size]) -> bool:
    (a, b), (c, d) = one, other
    apart = (abs(a.x - c.x) >= (b.width + d.width) / 2 - 0.01, abs(a.y - c.y) >= (b.height + d.height) / 2 - 0.01)
    return not any(apart)


def things(boxes: list[Size], edges: list[Edge], layout: Layout) -> list[tuple[Point, Size]]:
    labels = [
        (route.label, edge.label)
        for route, edge in zip(layout.routes, edges, strict=True)
        if route.label and edge.label
    ]
    return [*zip(layout.centres, boxes, strict=True), *labels]


@settings(max_examples=150)
@given(graphs())
def test_no_box_and_no_label_lies_on_another_and_all_are_on_the_paper(graph: tuple[list[Size], list[Edge]]) -> None:
    boxes, edges = graph
    layout = lay_out(boxes, edges)
    placed = things(boxes, edges, layout)
    assert not any(overlap(one, other) for one, other in combinations(placed, 2))
    for centre, size in placed:
        assert size.width / 2 - 0.01 <= centre.x <= layout.width - size.width / 2 + 0.01
        assert size.height / 2 - 0.01 <= centre.y <= layout.height - size.height / 2 + 0.01


@settings(max_examples=150)
@given(graphs())
def test_every_link_goes_from_its_source_to_its_target_and_down_unless_it_says_so(
    graph: tuple[list[Size], list[Edge]],
) -> None:
    boxes, edges = graph
    layout = lay_out(boxes, edges)
    assert len(layout.routes) == len(edges)
    for edge, route in zip(edges, layout.routes, strict=True):
        for point, box in ((route.start, edge.source), (route.curves[-1].end, edge.target)):
            centre, size = layout.centres[box], boxes[box]
            assert abs(point.x - centre.x) <= size.width / 2 + 0.01
            assert abs(point.y - centre.y) <= size.height / 2 + 0.01
        assert (layout.centres[edge.target].y > layout.centres[edge.source].y) is not route.back
        assert (route.label is None) is (edge.label is None)


@given(graphs())
def test_a_graph_is_laid_out_the_same_every_time(graph: tuple[list[Size], list[Edge]]) -> None:
    assert lay_out(*graph) == lay_out(*graph)


def test_a_graph_without_cycles_has_no_link_back() -> None:
    edges = [Edge(0, 1), Edge(0, 2), Edge(2, 1), Edge(1, 3)]
    assert not any(route.back for route in lay_out([BOX] * 4, edges).routes)


def test_a_loop_turns_only_the_link_that_closes_it() -> None:
    edges = [Edge(0, 1), Edge(1, 2), Edge(2, 1), Edge(2, 3)]
    assert [route.back for route in lay_out([BOX] * 4, edges).routes] == [False, False, True, False]


def test_the_main_way_is_straight_whatever_branches_off() -> None:
    edges = [edge for at in range(5) for edge in (Edge(at, at + 1, None, True), Edge(at, 6, LABEL))]
    layout = lay_out([BOX] * 7, edges)
    assert len({round(centre.x, 3) for centre in layout.centres[:6]}) == 1


def test_crossings_that_need_not_be_are_not() -> None:
    graph = Layered(
        layers=[[0, 1, 2], [3, 4, 5]],
        above=[[], [], [], [2], [1], [0]],
        below=[[5], [4], [3], [], [], []],
    )
    assert crossings(graph) == 3
    untangle(graph)
    assert crossings(graph) == 0


def test_an_empty_graph_takes_no_room() -> None:
    assert lay_out([], []) == Layout(0, 0, [], [])


@settings(max_examples=100)
@given(graphs(), st.integers(0, 20))
def test_what_is_told_instead_of_drawn_leaves_a_short_way_down_to_every_box(
    graph: tuple[list[Size], list[Edge]], budget: int
) -> None:
    boxes, edges = graph
    ranked = rank(len(boxes), edges)
    told = too_far(edges, ranked, budget=budget, crowd=2, far=2)
    down = [index for index, edge in enumerate(edges) if edge.source != edge.target and not ranked.reversed[index]]
    for target in {edges[index].target for index in down}:
        assert any(
            edges[index].target == target and ranked.span(edges[index]) <= 2 for index in down if index not in told
        )


def test_links_that_together_are_too_long_are_told_until_the_rest_is_not() -> None:
    edges = [*(Edge(at, at + 1) for at in range(99)), *(Edge(at, 99) for at in range(90))]
    ranked = rank(100, edges)
    told = too_far(edges, ranked, budget=300, crowd=1000, far=4)
    assert sum(ranked.span(edge) for index, edge in enumerate(edges) if index not in told) <= 300


@settings(max_examples=150)
@given(
    st.integers(1, 8).flatmap(
        lambda count: st.lists(st.lists(st.integers(0, count - 1), max_size=3), min_size=count, max_size=count)
    )
)
def test_ways_join_where_none_gets_past(targets: list[list[int]]) -> None:
    """Held to the definition: without the join no end is reached, and with it one is; no nearer one does that."""

    def ends(start: int, without: int | None) -> bool:
        seen, pending = {start}, [start]
        while pending:
            vertex = pending.pop()
            if not targets[vertex]:
                return True
            fresh = [target for target in targets[vertex] if target not in seen and target != without]
            seen.update(fresh)
            pending.extend(fresh)
        return False

    for vertex, found in enumerate(joins(targets)):
        passed = [one for one in range(len(targets)) if one != vertex and ends(vertex, None) and not ends(vertex, one)]
        if found is None:
            assert passed == []
        else:
            assert found in passed
            assert all(one == found or not ends(found, one) for one in passed)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_box_that_leads_to_itself_has_room_for_that(count: int) -> None:
    layout = lay_out([BOX] * count, [Edge(0, 0, LABEL)])
    (route,) = layout.routes
    assert route.back
    assert route.label is not None
    assert route.label.x > layout.centres[0].x + BOX.width / 2


def test_ways_that_meet_far_below_are_followed_once_for_all() -> None:
    """Following them anew for each node that leads there would take a minute here."""
    half = 10_000
    chain = [[place + 1] for place in range(half)]
    before = time.perf_counter()
    found = joins([*chain, [], *([0, half] for _ in range(half))])
    assert time.perf_counter() - before < 10
    assert found == [*range(1, half + 1), None, *[half] * half]
