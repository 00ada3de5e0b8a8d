"""Checking values against JSON Schema. The library is imported on first use: it costs more than the rest together."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec


def first_problem(schema: dict[str, Any] | bool, value: Any) -> tuple[str, str] | None:
    """The first thing wrong with a value: where (`.a[0]`) and what; None when it is fine. Raises ValueError when the
    schema itself is none, or refers to one that it does not contain."""
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        error = next(_validator(msgspec.json.encode(schema, order="sorted")).iter_errors(value), None)
    except SchemaError as problem:
        raise ValueError(f"the declared schema is no JSON Schema: {problem.message}") from None
    except Unresolvable as problem:
        raise ValueError(f"the declared schema refers to {problem.ref!r}, which it does not contain") from None
    if error is None:
        return None
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return where, error.message


def _is_array(checker: Any, value: Any) -> bool:
    return isinstance(value, (list, tuple))


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    """A validator to which a tuple is an array, for it is recorded as one, and which fetches nothing from anywhere."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    decoded = msgspec.json.decode(schema)
    Draft202012Validator.check_schema(decoded)
    checker = Draft202012Validator.TYPE_CHECKER.redefine("array", _is_array)
    lenient = extend(Draft202012Validator, type_checker=checker)  # type: ignore[no-untyped-call]
    return lenient(decoded, registry=Registry())
