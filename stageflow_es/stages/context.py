"""The context as its users hold it: a payload read and written by dotted path, or by attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stageflow_es.session.paths import MISSING, Frame, copy, parse, read


class DotDict(dict[str, Any]):
    """A dict whose keys can be read, set and deleted as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            raise AttributeError(name) from None
        if type(value) is dict:
            value = self[name] = DotDict(value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


class Context:
    """A context of one's own. Paths mean what they mean in a pipeline (see `session.paths`)."""

    def __init__(self, payload: dict[str, Any] | None = None) -> None:
        if not isinstance(payload, Mapping | None):
            raise TypeError(f"a context's payload is an object, as a dict has it, and not {payload!r:.80}")
        self.payload = DotDict(copy(dict(payload or {})))

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a path, or `default` where there is none."""
        value = read(self.payload, parse(path))
        return default if value is MISSING else value

    def set(self, path: str, value: Any) -> None:
        """Put a value at a path; `payload` stays the same object. Raises PathError where that cannot be."""
        frame = Frame(self.payload)
        frame.write(path, copy(value))
        self.payload.clear()
        self.payload.update(frame.root)

    def to_dict(self) -> dict[str, Any]:
        """A deep copy of the payload, as plain JSON values."""
        return {key: copy(value) for key, value in self.payload.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Context:
        return cls(data)
