"""JSON as a page shows it: short values on one line, names and values told apart."""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.docs.markup import Markup, join, tag, text

WIDTH = 58
"""Columns that a value may take before it is broken into lines."""


def json_view(value: Any) -> Markup:
    """A JSON value as a block of code."""
    return tag("pre", tag("code", _shown(value, 0)), class_="json", tabindex="0")


def _shown(value: Any, indent: int) -> Markup:
    if not isinstance(value, (dict, list)) or not value or len(_plain(value)) + indent <= WIDTH:
        return _inline(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    parts = [text(f"{opening}\n")]
    items = list(value.items()) if isinstance(value, dict) else [(None, item) for item in value]
    for at, (name, item) in enumerate(items):
        lead = join() if name is None else join(_name(name), ": ")
        comma = "," if at < len(items) - 1 else ""
        parts += [text(" " * (indent + 2)), lead, _shown(item, indent + 2), text(f"{comma}\n")]
    return join(*parts, " " * indent, closing)


def _inline(value: Any) -> Markup:
    if isinstance(value, dict):
        return _between("{", [join(_name(name), ": ", _inline(item)) for name, item in value.items()], "}")
    if isinstance(value, list):
        return _between("[", [_inline(item) for item in value], "]")
    kind = "text" if isinstance(value, str) else "value"
    return tag("span", _plain(value), class_=kind)


def _between(opening: str, parts: list[Markup], closing: str) -> Markup:
    separated = [piece for part in parts for piece in (text(", "), part)][1:]
    return join(opening, *separated, closing)


def _name(name: str) -> Markup:
    return tag("span", _plain(name), class_="key")


def _plain(value: Any) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # half of a character: JSON can only spell it out
        return ascii(value).replace("'", '"')
