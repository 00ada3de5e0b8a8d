"""A panel laid out: its boxes and links with the words cut to size, and a place for each."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from stageflow_es.docs.drawing.geometry import Edge, Layout, Size
from stageflow_es.docs.drawing.layout import lay_out
from stageflow_es.docs.drawing.picture import Box, Link, Panel
from stageflow_es.docs.drawing.ranks import rank, too_far
from stageflow_es.docs.drawing.words import cells, cut, wrap

NAME, SMALL, LINE = 7.9, 6.7, 15
"""Widths of a character in a box's name and elsewhere, and the height of a line, in pixels."""

BUDGET = 12_000
"""Layers that all links of a panel may span together; the longest ones past that are told, not drawn."""
CROWD, FAR = 9, 4
"""So many links from so far away into one box are told, not drawn."""


class Tile(msgspec.Struct, frozen=True, kw_only=True):
    """Something with a place: a box (`name` and `about` as they fit), a told link, which only says where it leads, or
    the dot where it all begins."""

    size: Size
    box: Box | None = None
    name: str = ""
    about: str = ""
    told: tuple[Link, Box] | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A link as it is drawn. `link` None: from the dot to the entry."""

    link: Link | None
    words: list[str] = []


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A panel laid out; tiles and lines are in the order of the layout's places and routes."""

    panel: Panel
    tiles: list[Tile]
    lines: list[Line]
    layout: Layout


def lay_sheet(panel: Panel) -> Sheet:
    """Lay a panel out. 2,000 nodes take a second or two, whatever their links are."""
    tiles = [Tile(size=Size(14, 14)), *map(_tile, panel.boxes)]
    lines = [Line(link=None), *map(_line, panel.links)]
    edges = [_edge(line, panel) for line in lines]
    told = too_far(edges, rank(len(tiles), edges), budget=BUDGET, crowd=CROWD, far=FAR)
    for index in sorted(told):
        link = lines[index].link
        assert link is not None
        edges[index] = Edge(edges[index].source, len(tiles))
        tiles.append(_told(link, panel.boxes[link.target]))
    return Sheet(panel=panel, tiles=tiles, lines=lines, layout=lay_out([tile.size for tile in tiles], edges))


def _edge(line: Line, panel: Panel) -> Edge:
    source, target = (-1, panel.entry) if line.link is None else (line.link.source, line.link.target)
    main = line.link is None or line.link.kind == "next"
    return Edge(source + 1, target + 1, _label_size(line.words), main)


def _label_size(words: Sequence[str]) -> Size | None:
    return Size(max(map(cells, words)) * SMALL + 14, len(words) * LINE + 4) if words else None


def _tile(box: Box) -> Tile:
    name, about = cut(box.id, 30), cut(box.about, 34)
    width = max(cells(name) * NAME, cells(about) * SMALL) + (56 if box.kind in ("condition", "parallel") else 36)
    return Tile(size=Size(max(width, 96), 46), box=box, name=name, about=about)


def _told(link: Link, goal: Box) -> Tile:
    """What a link that is not drawn says: why, and where to. In one box, so that it takes one layer."""
    name = f"→ {cut(goal.id, 24)}"
    about = cut(link.words, 30)
    return Tile(size=Size((cells(name) + cells(about) + 1) * SMALL + 24, 26), name=name, about=about, told=(link, goal))


def _line(link: Link) -> Line:
    return Line(link=link, words=wrap(link.words, 30, 2))
