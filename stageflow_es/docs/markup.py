"""HTML and SVG as text in which nothing but markup made here is markup: every other string is escaped on its way in."""

from __future__ import annotations

from html import escape

_JOINERS = "\u200c\u200d"
"""Not printable, but part of how some scripts and emoji are written."""


class Markup(str):
    """Text that is markup already. Made by `tag`, `text` and `join` only, and from files of this package."""

    __slots__ = ()


def text(value: object) -> Markup:
    """Anything as text. What cannot be seen (controls, marks that turn the direction of writing) is shown as an
    escape, so that it can neither end a document nor disguise a name."""
    shown = "".join(
        char if char.isprintable() or char in _JOINERS or char == "\n" else repr(char)[1:-1] for char in str(value)
    )
    return Markup(escape(shown))


def tag(name: str, /, *children: str | None, **attributes: str | float | bool | None) -> Markup:
    """An element. Attributes are named as in Python: `class_`, `aria_label`; None and False leave one out, True gives
    it no value. Children that are no Markup are escaped."""
    head = name + "".join(
        f" {_named(key)}" + ("" if value is True else f'="{text(_number(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    return Markup(f"<{head}>{join(*children)}</{name}>")


def void(name: str, /, **attributes: str | float | bool | None) -> Markup:
    """An element that has no content in HTML, like `meta`."""
    return Markup(tag(name, **attributes).removesuffix(f"</{name}>"))


def join(*parts: str | None) -> Markup:
    """Parts one after the other; those that are no Markup are escaped, None is left out."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts if part is not None))


def _named(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _number(value: str | float) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
