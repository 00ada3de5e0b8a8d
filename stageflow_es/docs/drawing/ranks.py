"""Layers for the vertices of a graph: every edge leads down; those that close a cycle are turned round meanwhile."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence

import msgspec

from stageflow_es.docs.drawing.geometry import Edge


class Ranked(msgspec.Struct, frozen=True):
    """The layer of each vertex, and for each edge whether it was turned round."""

    ranks: list[int]
    reversed: list[bool]

    def span(self, edge: Edge) -> int:
        """How many layers an edge goes down, or up."""
        return abs(self.ranks[edge.target] - self.ranks[edge.source])


def least_span(edge: Edge, turned: bool) -> int:
    """How many layers an edge must span: one with a label has a layer between its ends to write it in, and one that
    leads back goes round what is between."""
    return 2 if turned or edge.label is not None else 1


def rank(count: int, edges: Sequence[Edge]) -> Ranked:
    """The layers of `count` vertices, the first of them at the top. Edges from a vertex to itself are left out."""
    turned = _closing(count, edges)
    downward: list[list[tuple[int, int]]] = [[] for _ in range(count)]
    entering = [0] * count
    for edge, back in zip(edges, turned, strict=True):
        if edge.source != edge.target:
            upper, lower = (edge.target, edge.source) if back else (edge.source, edge.target)
            downward[upper].append((lower, least_span(edge, back)))
            entering[lower] += 1
    ranks = _longest(downward, list(entering))
    for vertex in range(1, count):  # what nothing leads to stands right above what it leads to
        if not entering[vertex] and downward[vertex]:
            ranks[vertex] = min(ranks[lower] - least for lower, least in downward[vertex])
    return Ranked(ranks, turned)


def _closing(count: int, edges: Sequence[Edge]) -> list[bool]:
    """Which edges close a cycle, met depth first in the order they are given."""
    leaving: dict[int, list[int]] = defaultdict(list)
    for index, edge in enumerate(edges):
        leaving[edge.source].append(index)
    turned = [False] * len(edges)
    state = [0] * count  # 0 not seen, 1 on the way, 2 done
    for root in range(count):
        if state[root]:
            continue
        state[root] = 1
        path = [(root, iter(leaving[root]))]
        while path:
            vertex, ahead = path[-1]
            index = next(ahead, -1)
            if index < 0:
                state[vertex] = 2
                path.pop()
                continue
            target = edges[index].target
            if state[target] == 1:
                turned[index] = target != vertex
            elif state[target] == 0:
                state[target] = 1
                path.append((target, iter(leaving[target])))
    return turned


def _longest(downward: Sequence[Sequence[tuple[int, int]]], entering: list[int]) -> list[int]:
    ranks = [0] * len(downward)
    ready = deque(vertex for vertex, edges in enumerate(entering) if not edges)
    while ready:
        vertex = ready.popleft()
        for lower, least in downward[vertex]:
            ranks[lower] = max(ranks[lower], ranks[vertex] + least)
            entering[lower] -= 1
            if not entering[lower]:
                ready.append(lower)
    return ranks


def too_far(edges: Sequence[Edge], ranked: Ranked, *, budget: int, crowd: int, far: int) -> set[int]:
    """The edges that are better told than drawn, by their positions: where more than `crowd` come into one vertex from
    more than `far` layers away, and the longest ones while all of them together span more than `budget` layers. The
    shortest one that leads down to a vertex is always drawn; it spans two layers at most."""
    spans = [ranked.span(edge) for edge in edges]
    kept = _shortest(edges, ranked, spans)
    loose = [index for index, span in enumerate(spans) if span > 1 and index not in kept]
    crowds: dict[int, list[int]] = defaultdict(list)
    for index in loose:
        if spans[index] > far:
            crowds[edges[index].target].append(index)
    told = {index for many in crowds.values() if len(many) > crowd for index in many}
    total = sum(span for index, span in enumerate(spans) if index not in told)
    for index in sorted(loose, key=lambda one: -spans[one]):
        if total <= budget:
            break
        if index not in told:
            told.add(index)
            total -= spans[index]
    return told


def _shortest(edges: Sequence[Edge], ranked: Ranked, spans: Sequence[int]) -> set[int]:
    """For each vertex the shortest edge that leads down to it."""
    best: dict[int, int] = {}
    for index, edge in enumerate(edges):
        if not ranked.reversed[index] and edge.source != edge.target:
            known = best.get(edge.target)
            if known is None or spans[index] < spans[known]:
                best[edge.target] = index
    return set(best.values())
