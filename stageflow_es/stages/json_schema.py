"""Checking values against JSON Schema. The library is imported on first use: it costs more than the rest together."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator


def first_problem(schema: dict[str, Any] | bool, value: Any) -> tuple[str, str] | None:
    """The first thing wrong with a value: where (`.a[0]`) and what; None when it is fine. Raises ValueError when the
    schema itself is none."""
    from jsonschema.exceptions import SchemaError

    try:
        validator = _validator(msgspec.json.encode(schema, order="sorted"))
    except SchemaError as problem:
        raise ValueError(f"the declared schema is no JSON Schema: {problem.message}") from None
    for error in validator.iter_errors(value):
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        return where, error.message
    return None


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    decoded = msgspec.json.decode(schema)
    Draft202012Validator.check_schema(decoded)
    return Draft202012Validator(decoded)
