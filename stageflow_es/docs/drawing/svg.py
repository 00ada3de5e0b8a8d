"""Pictures as SVG. Classes say what things are; `drawing.css` says how they look, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from stageflow_es.docs.drawing.geometry import Curve, Point, Route, Size
from stageflow_es.docs.drawing.picture import Box, Panel, panel_name
from stageflow_es.docs.drawing.sheet import LINE, Line, Sheet, Tile, lay_sheet
from stageflow_es.docs.markup import Markup, tag

MARGIN = 24
SLIM = 520
"""A picture this wide can still be read when a telephone shrinks it to its own width."""
TITLE = 34
"""Room for the name above a panel."""


def style() -> Markup:
    """The style sheet of drawings."""
    return Markup(files("stageflow_es.docs").joinpath("assets/drawing.css").read_text("utf-8"))


def standalone(panels: Sequence[Panel]) -> str:
    """A file of its own: all panels, with the style sheet."""
    return str(draw(panels, before=tag("style", style()), xmlns="http://www.w3.org/2000/svg")) + "\n"


def draw(panels: Sequence[Panel], *, before: Markup | None = None, xmlns: str | None = None) -> Markup:
    """All panels in one picture: the first at the top, the others below it, side by side where there is room."""
    sheets = [lay_sheet(panel) for panel in panels]
    places, width, height = _shelves([_outer(sheet) for sheet in sheets])
    title = panels[0].title or "pipeline"
    return tag(
        "svg",
        before,
        tag("title", title),
        tag("rect", class_="paper", width=width, height=height),
        *(_panel(sheet, place) for sheet, place in zip(sheets, places, strict=True)),
        xmlns=xmlns,
        class_="drawing slim" if width <= SLIM else "drawing",
        role="img",
        aria_label=f"{title}: {sum(len(panel.boxes) for panel in panels)} nodes",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=round(width),
        height=round(height),
    )


def _outer(sheet: Sheet) -> Size:
    """A panel with its margins; those of subpipelines have a frame and a name."""
    layout, path = sheet.layout, sheet.panel.path
    if not path:
        return Size(layout.width, layout.height)
    return Size(max(layout.width, 8.5 * len(panel_name(path)) + 96) + 2 * MARGIN, layout.height + TITLE + 2 * MARGIN)


def _shelves(sizes: Sequence[Size]) -> tuple[list[Point], float, float]:
    """Top left corners for rectangles in rows, and the size of it all."""
    most = max(900.0, max(size.width for size in sizes)) + MARGIN
    places: list[Point] = []
    x, y, row, width = float(MARGIN), float(MARGIN), 0.0, 0.0
    for index, size in enumerate(sizes):
        if index and x + size.width > most:
            x, y, row = float(MARGIN), y + row + MARGIN, 0.0
        places.append(Point(x, y))
        x, row = x + size.width + MARGIN, max(row, size.height)
        width = max(width, x)
    return places, width, y + row + MARGIN


def _panel(sheet: Sheet, place: Point) -> Markup:
    outer, path = _outer(sheet), sheet.panel.path
    lead, inset = [], Point(0, 0)
    if path:
        inset = Point((outer.width - sheet.layout.width) / 2, TITLE + MARGIN)
        lead = [
            tag("rect", class_="frame", width=outer.width, height=outer.height, rx=14),
            tag("text", tag("tspan", "subpipeline ", class_="about"), panel_name(path), class_="name", x=20, y=28),
        ]
    content = tag(
        "g",
        *(_line(line, route) for line, route in zip(sheet.lines, sheet.layout.routes, strict=True)),
        *(_tile(tile, centre) for tile, centre in zip(sheet.tiles, sheet.layout.centres, strict=True)),
        *(_words(line, route) for line, route in zip(sheet.lines, sheet.layout.routes, strict=True)),
        transform=_move(inset),
    )
    return tag("g", *lead, content, class_="panel", transform=_move(place))


def _move(point: Point) -> str:
    return f"translate({point.x:.1f} {point.y:.1f})"


# --- links ---


def _line(line: Line, route: Route) -> Markup:
    kind = "entry" if line.link is None else f"{line.link.kind} back" if route.back else line.link.kind
    way = f"M{_xy(route.start)}" + "".join(
        f"C{_xy(curve.leaving)} {_xy(curve.entering)} {_xy(curve.end)}" for curve in route.curves
    )
    head = tag("path", d=_head(route.curves[-1]), class_="head")
    return tag("g", tag("path", d=way, class_="way"), head, class_=f"link {kind}")


def _xy(point: Point) -> str:
    return f"{point.x:.1f},{point.y:.1f}"


def _head(curve: Curve) -> str:
    """An arrow's head at the end of a curve, along the way it comes in."""
    end = curve.end
    come = next((one for one in (curve.entering, curve.leaving) if one != end), Point(end.x, end.y - 1))
    dx, dy = end.x - come.x, end.y - come.y
    length = (dx * dx + dy * dy) ** 0.5
    dx, dy = dx / length, dy / length
    wings = [Point(end.x - 8 * dx + side * 4 * dy, end.y - 8 * dy - side * 4 * dx) for side in (1, -1)]
    return f"M{_xy(end)}L{_xy(wings[0])}L{_xy(wings[1])}Z"


def _words(line: Line, route: Route) -> Markup | None:
    if route.label is None or line.link is None:
        return None
    x, y = route.label.x, route.label.y
    width = max(map(len, line.words)) * 6.7 + 12
    height = len(line.words) * LINE + 2
    first = y - (len(line.words) - 1) * LINE / 2 + 4
    return tag(
        "g",
        tag("title", line.link.words),
        tag("rect", class_="chip", x=x - width / 2, y=y - height / 2, width=width, height=height, rx=6),
        *(tag("text", words, x=x, y=first + at * LINE) for at, words in enumerate(line.words)),
        class_=f"words {line.link.kind}",
    )


# --- boxes ---


def _tile(tile: Tile, centre: Point) -> Markup:
    if tile.box is not None:
        return _box(tile, tile.box, centre)
    if tile.told is None:
        return tag("circle", class_="start", cx=centre.x, cy=centre.y, r=tile.size.width / 2)
    link, goal = tile.told
    return tag(
        "g",
        tag("title", f"{link.words}\ngoes on at {goal.id}".lstrip()),
        _rectangle(tile.size, 13, "shape"),
        tag("text", f"{tile.about} {tile.name}".lstrip(), y=4),
        class_=f"told {link.kind}",
        transform=_move(centre),
    )


def _box(tile: Tile, box: Box, centre: Point) -> Markup:
    return tag(
        "g",
        tag("title", f"{box.kind} {box.id}\n{box.about}"),
        *_shapes(box, tile.size),
        tag("text", tile.name, class_="name", y=-4),
        tag("text", tile.about, class_="about", y=13),
        class_=f"box {box.kind}",
        transform=_move(centre),
    )


def _shapes(box: Box, size: Size) -> list[Markup]:
    """Each kind has a shape of its own, so that none depends on its colour."""
    w, h = size.width / 2, size.height / 2
    match box.kind:
        case "condition":
            corner = 14
            outline = (
                f"M{-w:.1f},0L{corner - w:.1f},{-h}H{w - corner:.1f}L{w:.1f},0L{w - corner:.1f},{h}H{corner - w:.1f}Z"
            )
            return [tag("path", class_="shape", d=outline)]
        case "parallel":
            bars = [tag("path", class_="mark", d=f"M{x:.1f},{-h}V{h}") for x in (9 - w, w - 9)]
            return [_rectangle(size, 4, "shape"), *bars]
        case "map":
            behind = [_rectangle(size, 9, "shape", step) for step in (6, 3)]
            return [*behind, _rectangle(size, 9, "shape")]
        case "subpipeline":
            return [_rectangle(size, 9, "shape"), _rectangle(Size(size.width - 8, size.height - 8), 6, "mark")]
        case "terminal":
            return [_rectangle(size, h, "shape")]
        case _:
            return [_rectangle(size, 9, "shape")]


def _rectangle(size: Size, corner: float, kind: str, aside: float = 0) -> Markup:
    x, y = aside - size.width / 2, aside - size.height / 2
    return tag("rect", class_=kind, x=x, y=y, width=size.width, height=size.height, rx=corner)
