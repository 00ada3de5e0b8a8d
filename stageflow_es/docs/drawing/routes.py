"""The ways of links: down from layer to layer, straight where they pass one; back ones from side to side."""

from __future__ import annotations

from collections.abc import Sequence

from stageflow_es.docs.drawing.geometry import Curve, Point, Route, Size

LOOP = 26
"""How far a link from a box to itself reaches out at its right."""

NEAR = 12
"""How far beside a box a link back has to pass to come in from the side: an arrow's head needs the room."""

Pass = tuple[Point, Point]
"""Where a link enters a layer that it only passes, and where it leaves it, straight below."""


def down(source: Point, target: Point, passes: Sequence[Pass], label: Point | None) -> Route:
    """From the bottom of a box to the top of another."""
    curves, last = _through(source, passes)
    curves.append(_fall(last, target))
    return Route(source, curves, label)


def back(source: tuple[Point, Size], target: tuple[Point, Size], passes: Sequence[Pass], label: Point | None) -> Route:
    """From the side of a box to the side of one above it. `passes` are given from the source upwards."""
    first, last = passes[0][0], passes[-1][1]
    start, leaving = _side(*source, first)
    end, entering = _side(*target, last)
    climb, at = _through(first, passes)
    curves = [Curve(leaving, Point(first.x, (leaving.y + first.y) / 2), first), *climb[1:]]
    curves.append(Curve(Point(at.x, (entering.y + at.y) / 2), entering, end))
    return Route(start, curves, label, back=True)


def loop(centre: Point, size: Size, aside: float, label: Size | None) -> Route:
    """From the right side of a box back to it, round others that reach out as far as `aside`."""
    side, step = centre.x + size.width / 2, size.height / 7
    reach = side + aside + LOOP
    low, high = Point(side - 6, centre.y + step), Point(side, centre.y - step)
    turn = Point(reach, centre.y)
    curves = [
        Curve(Point(reach, low.y), Point(reach, low.y), turn),
        Curve(Point(reach, high.y), Point(reach, high.y), high),
    ]
    where = None if label is None else Point(reach + label.width / 2 + 4, centre.y)
    return Route(low, curves, where, back=True)


def _through(start: Point, passes: Sequence[Pass]) -> tuple[list[Curve], Point]:
    curves, last = [], start
    for enter, leave in passes:
        curves.append(_fall(last, enter))
        if leave != enter:
            curves.append(Curve(enter, leave, leave))
        last = leave
    return curves, last


def _fall(start: Point, end: Point) -> Curve:
    """Vertical at both ends."""
    middle = (start.y + end.y) / 2
    return Curve(Point(start.x, middle), Point(end.x, middle), end)


def _side(centre: Point, size: Size, towards: Point) -> tuple[Point, Point]:
    """Where a back link touches a box, and the control point that leads away from there: its side where that is in
    view, else the top or the bottom."""
    half, aside = size.width / 2, towards.x - centre.x
    if abs(aside) > half + NEAR:
        side = Point(centre.x + (half if aside > 0 else -half), centre.y)
        return side, Point(towards.x, centre.y)
    inside = max(half - NEAR - 4, 0)
    x = centre.x + max(-inside, min(inside, aside))
    edge = centre.y + (size.height / 2 if towards.y > centre.y else -size.height / 2)
    return Point(x, edge), Point(x, (edge + towards.y) / 2)
