"""Pictures of figures, as SVG: rows of dots for engines side by side, and lines for how cost grows. Each is drawn once
for a light page and once for a dark one.

Scales are logarithmic, for the values are powers of ten apart; every dot has its value beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import msgspec

FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
WIDTH = 880
LABELS = 190
ROW, HEAD, PAD = 28, 58, 14
PANEL = 230
"""Height of a panel of lines."""


class Theme(msgspec.Struct, frozen=True):
    """Colours of one page. `ours`: of what is ours, `theirs`: of all else."""

    name: str
    ink: str
    faint: str
    rule: str
    ours: str
    theirs: str


LIGHT = Theme("light", "#1f2328", "#59636e", "#d1d9e0", "#0969da", "#818b98")
DARK = Theme("dark", "#e6edf3", "#9198a1", "#3d444d", "#58a6ff", "#6e7681")
THEMES = (LIGHT, DARK)


class Column(msgspec.Struct, frozen=True):
    """One measure of all rows. `values` by row; a row that is not in it has none."""

    title: str
    note: str
    values: Mapping[str, float]


class Lines(msgspec.Struct, frozen=True):
    """One panel: what a value becomes as something grows. `points` by the name of the line, (x, y) each."""

    title: str
    x: str
    y: str
    points: Mapping[str, Sequence[tuple[float, float]]]


class _Scale:
    """From values to places, logarithmically."""

    def __init__(self, values: Iterable[float], start: float, end: float) -> None:
        logs = [math.log10(value) for value in values if value > 0] or [0.0]
        self._low, high = min(logs), max(logs)
        self._span = (high - self._low) or 1.0
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._low) / self._span if value > 0 else 0.0
        return self._start + share * (self._end - self._start)


def number(value: float) -> str:
    """Three digits at most, where that is enough."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _text(x: float, y: float, words: str, fill: str, size: int = 13, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, stroke: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}"/>'


def _document(height: float, title: str, parts: Iterable[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="{escape(FONT)}">'
    )
    return "\n".join([head, f"<title>{escape(title)}</title>", *parts, "</svg>", ""])


def dots(title: str, rows: Sequence[str], columns: Sequence[Column], theme: Theme) -> str:
    """A row for each name, a dot in each column. The first row is ours."""
    parts = [
        part
        for place, row in enumerate(rows)
        for part in (
            _text(0, _middle(place) + 4, row, theme.ink, weight=600 if place == 0 else 400),
            _line(0, _middle(place) + ROW / 2, WIDTH, _middle(place) + ROW / 2, theme.rule),
        )
    ]
    width = (WIDTH - LABELS) / len(columns)
    for place, column in enumerate(columns):
        parts += _column(LABELS + place * width, width, rows, column, theme)
    return _document(HEAD + ROW * len(rows) + PAD, title, parts)


def _middle(row: int) -> float:
    return HEAD + ROW * row + ROW / 2


def _column(left: float, width: float, rows: Sequence[str], column: Column, theme: Theme) -> list[str]:
    scale = _Scale(column.values.values(), left + 18, left + width - 62)
    parts = [
        _text(left + 12, 20, column.title, theme.ink, weight=600),
        _text(left + 12, 38, column.note, theme.faint, 12),
    ]
    for place, row in enumerate(rows):
        y = _middle(place)
        value = column.values.get(row)
        if value is None:
            parts.append(_text(left + 14, y + 4, "-", theme.faint))
            continue
        colour = theme.ours if place == 0 else theme.theirs
        x = scale(value)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{colour}"/>')
        parts.append(_text(x + 10, y + 4, number(value), theme.ink, 12, weight=600 if place == 0 else 400))
    return parts


def lines(title: str, panels: Sequence[Lines], theme: Theme) -> str:
    """Panels, two in a row."""
    width = WIDTH / 2
    parts: list[str] = []
    for place, panel in enumerate(panels):
        parts += _panel(panel, place % 2 * width, place // 2 * PANEL, width - 24, theme)
    return _document(PANEL * math.ceil(len(panels) / 2), title, parts)


def _panel(panel: Lines, left: float, top: float, width: float, theme: Theme) -> list[str]:
    points = [point for line in panel.points.values() for point in line]
    x_at = _Scale((x for x, _ in points), left + 24, left + width - 40)
    y_at = _Scale((y for _, y in points), top + PANEL - 62, top + 74)
    bottom = top + PANEL - 44
    parts = [
        _text(left, top + 20, panel.title, theme.ink, weight=600),
        _text(left, top + 38, panel.y, theme.faint, 12),
        _line(left, bottom, left + width, bottom, theme.rule),
        *(_text(x_at(x), bottom + 16, number(x), theme.faint, 11, "middle") for x in sorted({x for x, _ in points})),
        _text(left + width / 2, bottom + 34, panel.x, theme.faint, 12, "middle"),
    ]
    for place, (name, line) in enumerate(panel.points.items()):
        colour = theme.ours if place == 0 else theme.theirs
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in line:
            parts.append(f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3.5" fill="{colour}"/>')
            parts.append(_text(x_at(x), y_at(y) - 9, number(y), theme.ink, 11, "middle"))
        if len(panel.points) > 1:
            parts.append(_text(left + width, top + 20 + 18 * place, name, colour, 12, "end", 600))
    return parts
