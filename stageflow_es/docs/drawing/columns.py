"""Horizontal places by the method of Brandes and Köpf: straight lines where it can be, balanced where not.

Vertices are aligned with the middle one of their neighbours four times, to the upper or lower ones, from the left or
from the right; aligned ones form a block that has one place. Each result is packed, and the mean of the middle two
is taken.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence

from stageflow_es.docs.drawing.order import Layered

Room = Callable[[int, int], float]
"""How far apart the centres of two neighbours in a layer have to be."""


Pair = tuple[int, int]
"""An edge, as its upper and its lower vertex."""


def columns(graph: Layered, bends: Sequence[bool], main: set[Pair], widths: Sequence[float], room: Room) -> list[float]:
    """The centre of each vertex. `bends`: which ones are bends of a long line: what is between them is kept straight
    first, and then the `main` edges."""
    conflicts = _crossing(graph, bends) | _lesser(graph, main)
    results = []
    for down in (True, False):
        for left in (True, False):
            layers = graph.layers if down else graph.layers[::-1]
            layers = layers if left else [layer[::-1] for layer in layers]
            blocks = _align(layers, graph.above if down else graph.below, conflicts)
            places = _pack(layers, blocks, room if left else lambda a, b: room(b, a))
            results.append(places if left else [-place for place in places])
    return _balanced(results, widths)


def _crossing(graph: Layered, bends: Sequence[bool]) -> set[Pair]:
    """Short edges that cross a straight piece of a long one: nothing is aligned along them."""
    found = set()
    for upper, lower in zip(graph.layers, graph.layers[1:], strict=False):
        place = {vertex: index for index, vertex in enumerate(upper)}
        inner = [_straight(vertex, graph, bends) for vertex in lower]
        left, begin = -1, 0
        for index, straight in enumerate(inner):
            if straight is None and index < len(lower) - 1:
                continue
            right = len(upper) if straight is None else place[straight]
            for vertex in lower[begin : index + 1]:
                for one in graph.above[vertex]:
                    if not left <= place[one] <= right and not (bends[vertex] and bends[one]):
                        found |= {(one, vertex), (vertex, one)}
            left, begin = (left if straight is None else right), index + 1
    return found


def _lesser(graph: Layered, main: set[Pair]) -> set[Pair]:
    """Edges beside a main one, above or below: nothing is aligned along them either."""
    uppers, lowers = {upper for upper, _ in main}, {lower for _, lower in main}
    found = set()
    for upper, targets in enumerate(graph.below):
        for lower in targets:
            if (upper in uppers or lower in lowers) and (upper, lower) not in main:
                found |= {(upper, lower), (lower, upper)}
    return found


def _straight(vertex: int, graph: Layered, bends: Sequence[bool]) -> int | None:
    """The bend above a bend."""
    return next((one for one in graph.above[vertex] if bends[one]), None) if bends[vertex] else None


def _align(layers: list[list[int]], neighbours: Sequence[Sequence[int]], conflicts: set[Pair]) -> list[int]:
    """The block each vertex belongs to, named by its first vertex."""
    place = {vertex: index for layer in layers for index, vertex in enumerate(layer)}
    root = list(range(len(neighbours)))
    for layer in layers:
        last = -1
        for vertex in layer:
            near = sorted(neighbours[vertex], key=place.__getitem__)
            middle = (len(near) - 1) // 2
            for one in near[middle : len(near) // 2 + 1]:
                if place[one] > last and (one, vertex) not in conflicts:
                    root[vertex] = root[one]
                    last = place[one]
                    break
    return root


def _pack(layers: list[list[int]], root: list[int], room: Room) -> list[float]:
    """A place for each block as far to the left as it goes, then back to the right as far as that moves no other."""
    following: dict[int, dict[int, float]] = {block: {} for block in root}
    entering = dict.fromkeys(following, 0)
    for layer in layers:
        for one, other in itertools.pairwise(layer):
            known = following[root[one]]
            entering[root[other]] += root[other] not in known
            known[root[other]] = max(known.get(root[other], 0), room(one, other))
    places = dict.fromkeys(following, 0.0)
    ordered = []
    ready = deque(block for block, count in entering.items() if not count)
    while ready:
        block = ready.popleft()
        ordered.append(block)
        for other, distance in following[block].items():
            places[other] = max(places[other], places[block] + distance)
            entering[other] -= 1
            if not entering[other]:
                ready.append(other)
    for block in reversed(ordered):
        if following[block]:
            places[block] = min(places[other] - distance for other, distance in following[block].items())
    return [places[block] for block in root]


def _balanced(results: list[list[float]], widths: Sequence[float]) -> list[float]:
    """The mean of the middle two of four results, laid over the narrowest of them."""

    def ends(places: list[float]) -> tuple[float, float]:
        return (
            min(place - width / 2 for place, width in zip(places, widths, strict=True)),
            max(place + width / 2 for place, width in zip(places, widths, strict=True)),
        )

    bounds = [ends(places) for places in results]
    low, high = min(bounds, key=lambda one: one[1] - one[0])
    shifted = [
        [place + (low - bound[0] if index % 2 == 0 else high - bound[1]) for place in places]
        for index, (places, bound) in enumerate(zip(results, bounds, strict=True))
    ]
    return [sum(sorted(four)[1:3]) / 2 for four in zip(*shifted, strict=True)]
