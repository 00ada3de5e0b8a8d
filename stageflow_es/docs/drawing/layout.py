"""A layout of boxes and links in layers from top to bottom."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from stageflow_es.docs.drawing.columns import columns
from stageflow_es.docs.drawing.geometry import Edge, Layout, Point, Route, Size, Spacing
from stageflow_es.docs.drawing.order import Layered, untangle
from stageflow_es.docs.drawing.ranks import Ranked, rank
from stageflow_es.docs.drawing.routes import LOOP, back, down, loop


def lay_out(boxes: Sequence[Size], edges: Sequence[Edge], spacing: Spacing | None = None) -> Layout:
    """Places for boxes and routes for links. The first box is at the top. Time and room grow with the number of
    layers that the edges span together, which is the caller's to bound."""
    return _Work(boxes, edges, spacing or Spacing()).run() if boxes else Layout(0, 0, [], [])


class _Work:
    """A layout while it is made. Vertices are the boxes, and after them the bends of links that pass a layer."""

    def __init__(self, boxes: Sequence[Size], edges: Sequence[Edge], spacing: Spacing) -> None:
        self.boxes = len(boxes)
        self.edges = edges
        self.spacing = spacing
        self.asides, widest = _loops(edges)
        self.widths = [size.width + 2 * widest.get(at, 0) for at, size in enumerate(boxes)]
        self.heights = [size.height for size in boxes]
        self.sizes = boxes
        self.chains: list[list[int]] = []
        self.label_at: dict[int, int] = {}
        self.main: set[tuple[int, int]] = set()

    def run(self) -> Layout:
        ranked = rank(self.boxes, self.edges)
        graph = self._layered(ranked)
        untangle(graph)
        bends = [vertex >= self.boxes for vertex in range(len(self.widths))]
        places = columns(graph, bends, self.main, self.widths, self._room)
        left = min(place - width / 2 for place, width in zip(places, self.widths, strict=True))
        places = [place - left for place in places]
        tops, bottoms, middles, height = self._rows(graph)
        self.places, self.middles, self.tops, self.bottoms = places, middles, tops, bottoms
        width = max(place + width / 2 for place, width in zip(places, self.widths, strict=True))
        centres = [Point(places[box], middles[box]) for box in range(self.boxes)]
        routes = [
            self._route(index, edge, turned)
            for index, (edge, turned) in enumerate(zip(self.edges, ranked.reversed, strict=True))
        ]
        return Layout(width, height, centres, routes)

    def _layered(self, ranked: Ranked) -> Layered:
        ranks = list(ranked.ranks)
        above: list[list[int]] = [[] for _ in ranks]
        below: list[list[int]] = [[] for _ in ranks]
        for index, (edge, turned) in enumerate(zip(self.edges, ranked.reversed, strict=True)):
            chain = self._chain(index, edge, turned, ranks)
            self.chains.append(chain)
            for _ in range(len(ranks) - len(above)):
                above.append([])
                below.append([])
            for upper, lower in itertools.pairwise(chain):
                below[upper].append(lower)
                above[lower].append(upper)
            if edge.main and not turned:
                self.main.update(itertools.pairwise(chain))
        layers: list[list[int]] = [[] for _ in range(max(ranks) + 1)]
        for vertex in _depth_first(self.boxes, below):
            layers[ranks[vertex]].append(vertex)
        return Layered(layers, above, below)

    def _chain(self, index: int, edge: Edge, turned: bool, ranks: list[int]) -> list[int]:
        """The vertices of an edge from top to bottom. Makes the bends, and the one that has the label."""
        if edge.source == edge.target:
            return []
        upper, lower = (edge.target, edge.source) if turned else (edge.source, edge.target)
        chain = [upper]
        for row in range(ranks[upper] + 1, ranks[lower]):
            chain.append(len(ranks))
            ranks.append(row)
            self.widths.append(0)
            self.heights.append(0)
        if edge.label is not None:
            at = chain[-1] if turned else chain[1]
            self.label_at[index] = at
            self.widths[at], self.heights[at] = edge.label.width, edge.label.height
        return [*chain, lower]

    def _room(self, left: int, right: int) -> float:
        gaps = [self.spacing.boxes if vertex < self.boxes else self.spacing.lines for vertex in (left, right)]
        return (self.widths[left] + self.widths[right]) / 2 + sum(gaps) / 2

    def _rows(self, graph: Layered) -> tuple[list[float], list[float], list[float], float]:
        """For each vertex the top and bottom of its layer and its middle; and the height of it all."""
        tops, bottoms, middles = ([0.0] * len(self.widths) for _ in range(3))
        y = 0.0
        for layer in graph.layers:
            tall = max((self.heights[vertex] for vertex in layer), default=0)
            for vertex in layer:
                tops[vertex], bottoms[vertex], middles[vertex] = y, y + tall, y + tall / 2
            y += tall + self.spacing.layers + self._slant(graph, layer)
        return tops, bottoms, middles, max(bottoms)

    def _slant(self, graph: Layered, layer: Sequence[int]) -> float:
        """More room below a layer from which many lines go out."""
        return min(40.0, 2.0 * sum(len(graph.below[vertex]) - 1 for vertex in layer if len(graph.below[vertex]) > 1))

    def _route(self, index: int, edge: Edge, turned: bool) -> Route:
        source, target = self._placed(edge.source), self._placed(edge.target)
        if edge.source == edge.target:
            return loop(*source, self.asides[index], edge.label)
        passes = [
            (Point(self.places[vertex], self.tops[vertex]), Point(self.places[vertex], self.bottoms[vertex]))
            for vertex in self.chains[index][1:-1]
        ]
        at = self.label_at.get(index)
        label = None if at is None else Point(self.places[at], self.middles[at])
        if turned:
            return back(source, target, [(bottom, top) for top, bottom in reversed(passes)], label)
        start = Point(source[0].x, source[0].y + source[1].height / 2)
        end = Point(target[0].x, target[0].y - target[1].height / 2)
        return down(start, end, passes, label)

    def _placed(self, box: int) -> tuple[Point, Size]:
        return Point(self.places[box], self.middles[box]), self.sizes[box]


def _loops(edges: Sequence[Edge]) -> tuple[dict[int, float], dict[int, float]]:
    """How far out each link from a box to itself begins, and how much room each box needs for them at its side."""
    asides: dict[int, float] = {}
    widest: dict[int, float] = {}
    for index, edge in enumerate(edges):
        if edge.source == edge.target:
            asides[index] = widest.get(edge.source, 0)
            widest[edge.source] = asides[index] + LOOP + (edge.label.width + 8 if edge.label else 0)
    return asides, widest


def _depth_first(roots: int, below: Sequence[Sequence[int]]) -> list[int]:
    """All vertices in the order they are met, so that what belongs together begins side by side."""
    seen: dict[int, None] = {}
    for root in range(roots):
        pending = [root]
        while pending:
            vertex = pending.pop()
            if vertex not in seen:
                seen[vertex] = None
                pending.extend(reversed(below[vertex]))
    return list(seen)
