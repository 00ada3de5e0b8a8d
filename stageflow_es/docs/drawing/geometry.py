"""What goes into a layout and what comes out of it. Lengths are in one unit, whichever; y grows downwards."""

from __future__ import annotations

import msgspec


class Size(msgspec.Struct, frozen=True):
    """How large a box or a label is."""

    width: float
    height: float


class Point(msgspec.Struct, frozen=True):
    x: float
    y: float


class Edge(msgspec.Struct, frozen=True):
    """A link between two boxes, by their positions in the list of boxes. `label`: the room its label takes.
    `main`: rather straight than others."""

    source: int
    target: int
    label: Size | None = None
    main: bool = False


class Spacing(msgspec.Struct, frozen=True):
    """The room left between boxes of a layer, between lines, and between layers."""

    boxes: float = 36
    lines: float = 16
    layers: float = 32


class Curve(msgspec.Struct, frozen=True):
    """A cubic curve from wherever the way has come to: two control points and the end."""

    leaving: Point
    entering: Point
    end: Point


class Route(msgspec.Struct, frozen=True):
    """The way of a link. `label`: the centre of its label. `back`: it leads to a layer above, or to where it began."""

    start: Point
    curves: list[Curve]
    label: Point | None = None
    back: bool = False


class Layout(msgspec.Struct, frozen=True):
    """The places: the centre of each box and the way of each link, in the order they were given."""

    width: float
    height: float
    centres: list[Point]
    routes: list[Route]
