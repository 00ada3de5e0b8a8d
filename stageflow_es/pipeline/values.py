"""Values as JSON has them. What JSON has no word for is refused, never written as something else; and no value is
nested so deep that walking it could end a process."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, Final

import msgspec

MAX_DEPTH: Final = 128
"""Lists and objects within each other, at most."""
MAX_ITEMS: Final = 250_000
"""Values in what a scope hands on to another without a stage, at most."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a value's JSON, at most. A server's limit for one message is lower."""


def encode(value: Any) -> bytes:
    """A value's JSON. Raises ValueError when it has none (NaN and the infinities would come back as null), and when it
    is nested too deep."""
    try:
        data = msgspec.json.encode(value)
        if b"null" in data and (odd := _not_finite(msgspec.to_builtins(value, str_keys=True))) is not None:
            raise ValueError(f"JSON has no number {odd}")
    except (TypeError, OverflowError, RecursionError) as problem:
        raise ValueError(str(problem)) from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is {len(data):,} bytes long, {MAX_BYTES:,} is the most")
    if may_be_deep(data) and (too_much := unfit(msgspec.json.decode(data), MAX_BYTES)):
        raise ValueError(too_much)
    return data


def _not_finite(value: Any) -> float | None:
    """The first number in a value of Python's own types that is NaN or an infinity."""
    if isinstance(value, float):
        return None if isfinite(value) else value
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple, set, frozenset)):
        return None
    return next((odd for item in value if (odd := _not_finite(item)) is not None), None)


def may_be_deep(data: bytes) -> bool:
    """Whether JSON text has brackets enough to be nested too deep; most has not, and needs no closer look."""
    return data.count(b"[") + data.count(b"{") > MAX_DEPTH


def unfit(value: Any, most: int = MAX_ITEMS) -> str | None:
    """Why a JSON value is too much to be walked, None: it is not. What is in it twice counts twice, as it does in JSON.
    Costs no recursion, and no more than the limits allow."""
    level: Sequence[Any] = [value] if type(value) in (list, dict) else ()
    count = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return None
        count += sum(map(len, level))
        if count > most:
            return f"it holds more than {most:,} values"
        level = [
            item
            for container in level
            for item in (container.values() if type(container) is dict else container)
            if type(item) in (list, dict)
        ]
    return f"it is nested more than {MAX_DEPTH} levels deep" if level else None


def is_text(value: Any) -> bool:
    """Whether a value is a text that JSON can carry: one without half characters (lone surrogates)."""
    if type(value) is not str:
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


def shown(text: str) -> str:
    """A text as it can be recorded, whatever is in it."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
