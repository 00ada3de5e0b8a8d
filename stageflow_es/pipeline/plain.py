"""Whether a value is exactly a JSON value: what comes back when it is written and read again is what it was."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Final

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline.pointers import below, kind_of
from stageflow_es.pipeline.values import MAX_DEPTH, may_be_deep, unfit

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_BITS: Final = 14_000
MAX_VISITS: Final = 2_000_000


def json_problems(data: object) -> list[Problem]:
    """Why a value is not JSON, or is more of it than a definition may be; empty when it is fine."""
    try:
        encoded = msgspec.json.encode(data)
        if len(encoded) > MAX_BYTES:
            message = f"a definition may be {MAX_BYTES:,} bytes long at most, this is {len(encoded):,}"
            return [Problem(message=message)]
        decoded = msgspec.json.decode(encoded)
        if may_be_deep(encoded) and unfit(decoded, MAX_BYTES):
            return [Problem(message=f"a definition may be nested {MAX_DEPTH} levels deep at most")]
        if decoded == data and msgspec.json.encode(decoded) == encoded:
            return []
    except Exception as problem:
        # Encoding and comparing run code of whatever is in there; the walk says where it is not JSON.
        return list(_foreign(data)) or [Problem(message=f"the definition cannot be written as JSON: {problem}")]
    return list(_foreign(data)) or [Problem(message="the definition does not survive being written as JSON")]


def _foreign(data: object) -> Iterator[Problem]:
    """The values in `data` that are not JSON, looking at a bounded number of them."""
    pending: list[tuple[object, str, int]] = [(data, "", 0)]
    for _ in range(MAX_VISITS):
        if not pending:
            return
        value, pointer, depth = pending.pop()
        problem = _scalar_problem(value)
        if depth > MAX_DEPTH:
            yield Problem(message=f"a definition may be nested {MAX_DEPTH} levels deep at most")
            return
        if problem is not None:
            yield Problem(path=pointer, message=problem)
        elif type(value) is list:
            pending.extend((item, below(pointer, index), depth + 1) for index, item in enumerate(value))
        elif type(value) is dict:
            for name, item in value.items():
                if type(name) is str and _is_unicode(name):
                    pending.append((item, below(pointer, name), depth + 1))
                else:
                    yield Problem(path=pointer, message=f"{name!a} cannot be a key in JSON")


def _scalar_problem(value: object) -> str | None:
    if type(value) is float and not isfinite(value):
        return f"{value} is no JSON number"
    if type(value) is int and value.bit_length() > MAX_BITS:
        return f"a whole number may be {MAX_BITS:,} bits long at most"
    if type(value) is str and not _is_unicode(value):
        return "the text holds half a character (a lone surrogate)"
    if type(value) in (dict, list, str, int, float, bool, type(None)):
        return None
    return f"{kind_of(value)} is no JSON value"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
