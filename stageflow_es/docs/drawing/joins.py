"""Where the ways that part at a node come together again: its nearest post-dominator (Lengauer and Tarjan), in a time
that grows little faster than the graph."""

from __future__ import annotations

from collections.abc import Sequence


def joins(targets: Sequence[Sequence[int]]) -> list[int | None]:
    """For each vertex the nearest one that every way on from it passes; None where the ways end apart, or never.

    `targets` are the vertices each one leads to; one that leads nowhere is an end.
    """
    count = len(targets)
    end = count  # every end leads there
    sources: list[list[int]] = [[] for _ in range(count + 1)]
    for vertex, following in enumerate(targets):
        for target in following or [end]:
            sources[target].append(vertex)
    order, above = _numbered(end, sources)
    number = {vertex: index for index, vertex in enumerate(order)}
    ahead = [
        [number[target] for target in targets[vertex] or [end] if target in number] if index else []
        for index, vertex in enumerate(order)
    ]
    found: list[int | None] = [None] * count
    for index, nearest in enumerate(_dominators(ahead, above)):
        if nearest:
            found[order[index]] = order[nearest]
    return found


def _numbered(root: int, sources: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """The vertices that lead to the root in the order a search from there meets them, depth first, and the place in it
    of the one that each was met from."""
    order, above = [root], [0]
    seen = {root}
    path = [(0, iter(sources[root]))]
    while path:
        place, following = path[-1]
        source = next((one for one in following if one not in seen), None)
        if source is None:
            path.pop()
            continue
        seen.add(source)
        path.append((len(order), iter(sources[source])))
        order.append(source)
        above.append(place)
    return order, above


def _dominators(ahead: Sequence[Sequence[int]], above: Sequence[int]) -> list[int]:
    """The nearest dominator of each vertex, 0 being the root. Vertices are numbered as `_numbered` met them; `ahead`
    are those that lead to each one seen from the root."""
    forest = _Forest(len(above))
    semi = forest.semi
    waiting: list[list[int]] = [[] for _ in above]
    nearest = [0] * len(above)
    for vertex in range(len(above) - 1, 0, -1):
        semi[vertex] = min((semi[forest.least(one)] for one in ahead[vertex]), default=above[vertex])
        waiting[semi[vertex]].append(vertex)
        forest.root[vertex] = above[vertex]
        for one in waiting[above[vertex]]:
            least = forest.least(one)
            nearest[one] = least if semi[least] < semi[one] else above[vertex]
        waiting[above[vertex]].clear()
    for vertex in range(1, len(above)):
        if nearest[vertex] != semi[vertex]:
            nearest[vertex] = nearest[nearest[vertex]]
    return nearest


class _Forest:
    """The part of the search that was looked at. `semi`: how far up each vertex reaches; `root`: a vertex further up in
    its tree, -1 for one that was not looked at yet."""

    def __init__(self, size: int) -> None:
        self.semi = list(range(size))
        self.root = [-1] * size
        self._least = list(range(size))

    def least(self, vertex: int) -> int:
        """The vertex that reaches furthest up, between this one and the root of its tree. Shortens the way there."""
        path = []
        while self.root[vertex] >= 0:
            path.append(vertex)
            vertex = self.root[vertex]
        if not path:
            return vertex
        top, least = vertex, path[-1]
        for one in reversed(path):
            if self.semi[self._least[one]] > self.semi[self._least[least]]:
                self._least[one] = self._least[least]
            if one is not path[-1]:
                self.root[one] = top
            least = one
        return self._least[path[0]]
