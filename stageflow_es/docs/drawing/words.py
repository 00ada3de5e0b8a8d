"""Words in a drawing, in type of one width: how much room they take, and how they are cut to fit."""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def cells(text: str) -> int:
    """How many character cells a text is wide."""
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def cut(text: str, room: int) -> str:
    """The text in `room` cells, with an ellipsis where it is longer."""
    flat = " ".join(text.split()) or text
    return flat if cells(flat) <= room else f"{flat[: _fitting(flat, room - 1)].rstrip()}…"


def wrap(text: str, room: int, lines: int) -> list[str]:
    """The text in at most so many lines, broken between words where that can be."""
    rest = " ".join(text.split())
    found: list[str] = []
    while rest and len(found) < lines - 1 and cells(rest) > room:
        at = rest.rfind(" ", 0, _fitting(rest, room) + 1)
        if at < room // 2:
            break
        found.append(rest[:at])
        rest = rest[at + 1 :]
    return [*found, cut(rest, room)] if rest else found


def _fitting(text: str, room: int) -> int:
    """How many characters of a text fit."""
    used = 0
    for index, char in enumerate(text):
        used += cells(char)
        if used > room:
            return index
    return len(text)
