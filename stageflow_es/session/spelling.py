"""Whether stored bytes are an event as this package writes them, and where two events differ.

Hashes are over bytes, so an event has one spelling: the fields in order, nothing between them, nothing twice.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.session import events as ev

TYPES: dict[str, type[ev.Event]] = {str(kind.__struct_config__.tag): kind for kind in ev.AnyEvent.__args__}
"""Every event type of this release by its stored name."""

ENVELOPE = frozenset(ev.Event.__struct_fields__)


class Unreadable(ValueError):
    """Bytes that are no event of this release; `newer`: they may well be one of a later release."""

    def __init__(self, message: str, *, newer: bool = False) -> None:
        self.newer = newer
        super().__init__(message)


def read(data: bytes) -> ev.AnyEvent:
    """The event in some bytes, whoever wrote them. Raises Unreadable and nothing else."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise Unreadable(f"events are taken as they are stored, as bytes: this is a {type(data).__name__}")
    try:
        return ev.decode(data)
    except (ValueError, RecursionError) as problem:
        document = _json(data)
        name = document.get("type")
        if isinstance(name, str) and name not in TYPES:
            message = f"there is no event type {name!r} in this release: a newer one wrote it, or it is no event"
            raise Unreadable(message, newer=True) from None
        raise Unreadable(f"not an event: {problem}") from None


def check(data: bytes, event: ev.AnyEvent) -> None:
    """Check that the bytes are the one spelling of what they say, all of it known here. Raises Unreadable."""
    document = _json(data)
    if _encoded(document) != data:
        raise Unreadable("not as an event is written: white space, a key given twice, or a number or text misspelled")
    unknown = _unknown(document, msgspec.to_builtins(event), "")
    if unknown is not None:
        raise Unreadable(f"this release does not know its field {unknown!r}: a newer one wrote it", newer=True)


def differing(derived: ev.Event, recorded: ev.Event) -> list[str]:
    """The fields in which two events of one type differ, envelope last."""
    fields = [
        name
        for name in recorded.__struct_fields__
        if _encoded(getattr(derived, name)) != _encoded(getattr(recorded, name))
    ]
    return sorted(fields, key=lambda name: name in ENVELOPE)


def body(event: ev.Event) -> dict[str, Any]:
    """What an event says, as JSON values: its type and the fields of it that are not the envelope's, but its cause."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return {name: value for name, value in fields.items() if name not in ENVELOPE or name == "cause"}


def _json(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data)
    except (ValueError, RecursionError) as problem:
        raise Unreadable(f"not JSON: {problem}") from None
    if not isinstance(document, dict):
        raise Unreadable("not a JSON object")
    return document


def _encoded(value: Any) -> bytes:
    if value is msgspec.UNSET:
        return b""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError, RecursionError) as problem:
        raise Unreadable(f"it has a value that cannot be written back: {problem}") from None


def _unknown(document: Any, known: Any, path: str) -> str | None:
    """The path of a key that was dropped when a document was read as an event."""
    if isinstance(document, dict) and isinstance(known, dict):
        for key, value in document.items():
            inside = f"{path}.{key}" if path else key
            if key not in known:
                if _OPTIONAL.get(key, _ABSENT) == value:
                    continue
                return inside
            found = _unknown(value, known[key], inside)
            if found is not None:
                return found
    elif isinstance(document, list) and isinstance(known, list):
        for index, (value, item) in enumerate(zip(document, known, strict=False)):
            found = _unknown(value, item, f"{path}[{index}]")
            if found is not None:
                return found
    return None


_ABSENT = object()
_OPTIONAL: dict[str, Any] = {"node": None, "scope": "", "attempt": None, "path": "", "severity": "error"}
"""Fields of errors and problems that are left out when they have these values, and may be spelled out all the same."""
