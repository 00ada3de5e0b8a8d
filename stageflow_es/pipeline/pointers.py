"""JSON pointers (RFC 6901), and values as messages quote them."""

from __future__ import annotations

from typing import Final

MAX_SHOWN: Final = 80


def below(pointer: str, *tokens: str | int) -> str:
    """The pointer to what lies below `pointer` at these keys and indexes."""
    for token in tokens:
        if type(token) is str and ("~" in token or "/" in token):
            token = token.replace("~", "~0").replace("/", "~1")
        pointer = f"{pointer}/{token}"
    return pointer


def shown(value: object) -> str:
    """A value as a message quotes it, cut where it is long."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def kind_of(value: object) -> str:
    """What kind of JSON value this is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a Python {type(value).__name__}"
