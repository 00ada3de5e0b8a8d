"""JSON pointers (RFC 6901), and values as messages quote them."""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_SHOWN: Final = 80

_AT_PATH: Final = re.compile(r"^(?P<message>.*?)(?: - at (?:`key` in )?`\$(?P<path>[^`]*)`)?$", re.DOTALL)
_INDEX: Final = re.compile(r"\[(\d+)\]")


def below(pointer: str, *tokens: str | int) -> str:
    """The pointer to what lies below `pointer` at these keys and indexes."""
    for token in tokens:
        if type(token) is str and ("~" in token or "/" in token):
            token = token.replace("~", "~0").replace("/", "~1")
        pointer = f"{pointer}/{token}"
    return pointer


def located(problem: msgspec.ValidationError) -> tuple[str, str]:
    """A pointer to where msgspec found something wrong, and what that is."""
    match = _AT_PATH.match(str(problem))
    assert match is not None
    path = (match["path"] or "").replace("[...]", "/*")
    return _INDEX.sub(r"/\1", path).replace(".", "/"), match["message"]


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
