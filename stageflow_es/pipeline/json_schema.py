"""Values checked against JSON Schemas. The library is imported on first use: it costs more than the rest together."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

INT: Final = "int"
"""The `format` of an integer that is written as one: `1`, and not `1.0`, which JSON Schema takes for one as well."""

Found = tuple[tuple[str | int, ...], str]
"""Where a problem is in a value, as keys and indexes, and what it is."""


def schema_errors(schema: Any, value: Any, most: int) -> list[Found]:
    """The first `most` things wrong with a JSON value; none when it is fine. A schema fetches nothing from anywhere.
    Raises ValueError when the schema is none, or cannot be applied to this value."""
    from jsonschema.exceptions import SchemaError
    from referencing.exceptions import Unresolvable

    try:
        errors = _validator(msgspec.json.encode(schema, order="sorted")).iter_errors(value)
        return [(tuple(error.absolute_path), _message(error)) for error in islice(errors, most)]
    except SchemaError as problem:
        raise ValueError(f"the schema is no JSON Schema: {problem.message}") from None
    except Unresolvable as problem:
        raise ValueError(f"the schema refers to {problem.ref!r}, which it does not contain") from None
    except (re.error, RecursionError, ArithmeticError) as problem:
        raise ValueError(f"the schema cannot be applied to this value: {type(problem).__name__}") from None


def nothing(name: str) -> dict[str, Any]:
    """The schema of a type that no JSON value has."""
    return {"not": {}, "title": name}


def _message(error: ValidationError) -> str:
    match error.schema:
        case {"title": str(name)} if error.schema == nothing(name):
            return f"{error.instance!r} is no {name}: JSON has no word for one"
        case {"format": "int"} if error.validator == "format":
            return f"{error.instance!r} is written as a number with a fraction, not as an integer"
    return str(error.message)


def _written_as_integer(value: Any) -> bool:
    return not isinstance(value, float)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, FormatChecker
    from referencing import Registry

    decoded = msgspec.json.decode(schema)
    Draft202012Validator.check_schema(decoded)
    formats = FormatChecker(formats=())
    formats.checks(INT)(_written_as_integer)
    return Draft202012Validator(decoded, registry=Registry(), format_checker=formats)
