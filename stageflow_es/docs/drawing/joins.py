"""Where the ways that part at a node come together again: its nearest post-dominator (Cooper, Harvey and Kennedy)."""

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
    order = _finished(end, sources)
    place = {vertex: index for index, vertex in enumerate(order)}  # the end comes last, and has the highest place
    nearest = {end: end}
    changed = True
    while changed:
        changed = False
        for vertex in reversed(order[:-1]):
            known = [target for target in (targets[vertex] or [end]) if target in nearest]
            meet = known[0]
            for other in known[1:]:
                meet = _common(meet, other, nearest, place)
            changed |= nearest.get(vertex) != meet
            nearest[vertex] = meet
    return [None if nearest.get(vertex, end) == end else nearest[vertex] for vertex in range(count)]


def _common(one: int, other: int, nearest: dict[int, int], place: dict[int, int]) -> int:
    while one != other:
        while place[one] < place[other]:
            one = nearest[one]
        while place[other] < place[one]:
            other = nearest[other]
    return one


def _finished(root: int, sources: Sequence[Sequence[int]]) -> list[int]:
    """The vertices that lead to the root, each after those that lead to it, as far as there is no cycle."""
    seen = {root}
    order = []
    path = [(root, iter(sources[root]))]
    while path:
        vertex, ahead = path[-1]
        source = next((one for one in ahead if one not in seen), None)
        if source is None:
            order.append(vertex)
            path.pop()
        else:
            seen.add(source)
            path.append((source, iter(sources[source])))
    return order
