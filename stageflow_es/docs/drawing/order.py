"""The order of vertices within their layers: few crossings, by sweeping down and up over the means of neighbours."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Sequence

import msgspec

WORK = 400_000
"""Edges that may be looked at in sweeping; large graphs get fewer sweeps."""


class Layered(msgspec.Struct):
    """A graph in layers in which every edge leads to the next one. `above` and `below`: the neighbours by vertex."""

    layers: list[list[int]]
    above: list[list[int]]
    below: list[list[int]]


def untangle(graph: Layered) -> None:
    """Put the vertices of each layer into an order with few crossings."""
    edges = sum(len(targets) for targets in graph.below)
    sweeps = max(2, min(16, WORK // max(1, edges)))
    best, fewest = [list(layer) for layer in graph.layers], crossings(graph)
    for sweep in range(sweeps):
        if not fewest:
            break
        _sweep(graph, down=sweep % 2 == 0)
        if edges < 2_000:
            _swap_neighbours(graph)
        count = crossings(graph)
        if count < fewest:
            best, fewest = [list(layer) for layer in graph.layers], count
    graph.layers[:] = best


def _sweep(graph: Layered, *, down: bool) -> None:
    layers = graph.layers if down else graph.layers[::-1]
    neighbours = graph.above if down else graph.below
    for fixed, moved in itertools.pairwise(layers):
        place = {vertex: index for index, vertex in enumerate(fixed)}
        wished = {vertex: _mean([place[one] for one in neighbours[vertex]]) for vertex in moved}
        free = iter(
            sorted((vertex for vertex in moved if wished[vertex] is not None), key=lambda one: wished[one] or 0)
        )
        moved[:] = [vertex if wished[vertex] is None else next(free) for vertex in moved]


def _mean(places: Sequence[int]) -> float | None:
    return sum(places) / len(places) if places else None


def _swap_neighbours(graph: Layered) -> None:
    """Swap neighbours in a layer as long as that saves crossings."""
    place = {vertex: index for layer in graph.layers for index, vertex in enumerate(layer)}
    for layer in graph.layers:
        for index in range(len(layer) - 1):
            left, right = layer[index : index + 2]
            if _saved(graph, place, left, right) > 0:
                layer[index : index + 2] = right, left
                place[left], place[right] = index + 1, index


def _saved(graph: Layered, place: dict[int, int], left: int, right: int) -> int:
    saved = 0
    for neighbours in (graph.above, graph.below):
        ours, theirs = ([place[one] for one in neighbours[vertex]] for vertex in (left, right))
        saved += sum((a > b) - (a < b) for a in ours for b in theirs)
    return saved


def crossings(graph: Layered) -> int:
    """How many pairs of edges cross."""
    total = 0
    for layer, following in zip(graph.layers, graph.layers[1:], strict=False):
        place = {vertex: index for index, vertex in enumerate(following)}
        total += _inversions(target for vertex in layer for target in sorted(place[one] for one in graph.below[vertex]))
    return total


def _inversions(values: Iterable[int]) -> int:
    """How many pairs are out of order."""
    seen: list[int] = []
    count = 0
    for value in values:
        at = bisect_left(seen, value + 1)
        count += len(seen) - at
        seen.insert(at, value)
    return count
