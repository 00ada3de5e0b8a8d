"""Dotted context paths, and the frame of values they read and write.

A path is keys joined by dots, list indexes as numbers, with an optional leading `payload.`; `payload` alone is
everything. Reading never fails: what is not there is `MISSING`. Writing makes missing objects on the way, appends at
a list's length, and raises `PathError` further past its end or through a scalar.

A `Frame` shares structure with the frames forked from it and with the events its values came in on: a write copies
the containers on its way once, and after that changes its own copies in place, so that the cost of a write does not
grow with the context.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from stageflow_es.errors import PathError

Path = tuple[str, ...]

MAX_PARTS: Final = 32
"""Parts of a path that is written."""
MAX_DIGITS: Final = 16
"""Digits of a list's index."""

_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
"""Types of values that need no copy."""


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final[Any] = _Missing()
"""What reading a path that is not there gives; never a value."""


@lru_cache(maxsize=4096)
def parse(path: str) -> Path:
    """Split a dotted path; the optional leading `payload` is dropped, so `()` is the whole context."""
    parts = path.split(".")
    return tuple(parts[1:] if parts[0] == "payload" else parts)


def read(value: Any, path: Path) -> Any:
    """The value below `value` at `path`, not copied, or MISSING."""
    for part in path:
        if isinstance(value, dict):
            value = value.get(part, MISSING)
        elif isinstance(value, list):
            value = _item(value, part)
        else:
            return MISSING
    return value


def _item(items: list[Any], part: str) -> Any:
    try:
        return items[int(part)]
    except (ValueError, IndexError):
        return MISSING


def copy(value: Any) -> Any:
    """A deep copy of a JSON value."""
    if isinstance(value, dict):
        copied = dict(value)
        for key, item in value.items():
            if type(item) not in _LEAVES:
                copied[key] = copy(item)
        return copied
    if isinstance(value, list):
        return [item if type(item) in _LEAVES else copy(item) for item in value]
    return value


class Frame:
    """A context: one JSON object, read and written by path.

    After `begin_journal` it remembers where it was written to: a map's iteration does, so that a snapshot can store
    that without the context it shares with its parent.
    """

    __slots__ = ("_owned", "_written", "root")

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self._owned: dict[Path, Any] = {}
        self._written: dict[Path, None] | None = None

    def get(self, path: str) -> Any:
        """The value at a dotted path, not copied, or MISSING. Keep it only after `share`."""
        return read(self.root, parse(path))

    def share(self, path: str) -> Any:
        """The value at `path` for keeping: later writes will not change it. Not to be changed by the keeper."""
        parts = parse(path)
        value = read(self.root, parts)
        if self._owned and isinstance(value, (dict, list)):
            depth = len(parts)
            for owned in [key for key in self._owned if key[:depth] == parts]:
                del self._owned[owned]
        return value

    def fork(self) -> Frame:
        """A frame with the same values from which neither side sees the other's later writes. Costs nothing."""
        self._owned.clear()
        return Frame(self.root)

    def write(self, path: str, value: Any) -> None:
        """Put a value at a path. Raises PathError and changes nothing where the path cannot be written."""
        parts = parse(path)
        if len(parts) == 1:
            self._own_root()[parts[0]] = value
        elif parts:
            _check(self.root, parts, path)
            self._write_below(parts, value)
        else:
            if not isinstance(value, dict):
                raise PathError("the whole context can only be replaced by an object")
            self.root = value
            self._owned.clear()
        if self._written is not None:
            self._written = _noted(self._written, parts)

    def begin_journal(self) -> None:
        """Remember from now on where it is written to."""
        self._written = {}

    def changes(self) -> list[tuple[str, Any]]:
        """Paths and what is there now, that lead from what it was when its journal began to what it is, in order."""
        return [_there(self.root, path) for path in self._written or ()]

    def _own_root(self) -> dict[str, Any]:
        if self._owned.get(()) is not self.root:
            self.root = self._owned[()] = dict(self.root)
        return self.root

    def _write_below(self, parts: Path, value: Any) -> None:
        container: Any = self._own_root()
        for depth in range(1, len(parts)):
            container = self._own(container, parts[:depth])
        last = parts[-1]
        if isinstance(container, dict):
            container[last] = value
        elif int(last) == len(container):
            container.append(value)
        else:
            container[int(last)] = value

    def _own(self, container: Any, prefix: Path) -> Any:
        """The child of `container` at the end of `prefix` as a container of ours, made where it is missing."""
        part = prefix[-1]
        child = read(container, (part,))
        if child is not MISSING and self._owned.get(prefix) is child:
            return child
        child = {} if child is MISSING else child.copy()
        self._owned[prefix] = child
        if isinstance(container, dict):
            container[part] = child
        elif int(part) == len(container):
            container.append(child)
        else:
            container[int(part)] = child
        return child


def _noted(written: dict[Path, None], parts: Path) -> dict[Path, None]:
    """What was written, and now `parts` too. None of the paths is inside another, for what is at the outer one is all
    there is to know; it stands where the first one inside it stood, so that a list grows in the order it grew in."""
    if any(parts[:depth] in written for depth in range(len(parts) + 1)):
        return written
    first = next((path for path in written if path[: len(parts)] == parts), None)
    if first is None:
        written[parts] = None
        return written
    outside = (path for path in written if path == first or path[: len(parts)] != parts)
    return dict.fromkeys(parts if path == first else path for path in outside)


def _there(root: dict[str, Any], path: Path) -> tuple[str, Any]:
    """A path that was written, with its value: the nearest one around it that is there, where it went with that."""
    while (value := read(root, path)) is MISSING:
        path = path[:-1]
    return ".".join(("payload", *path)), value


def _check(value: Any, parts: Path, path: str) -> None:
    """Raise PathError unless `parts` can be written below `value`."""
    if len(parts) > MAX_PARTS:
        raise PathError(f"cannot write a path of {len(parts)} parts: {MAX_PARTS} is the most")
    for depth, part in enumerate(parts):
        if isinstance(value, list):
            if not (part.isascii() and part.isdigit() and len(part) < MAX_DIGITS) or int(part) > len(value):
                raise PathError(f"cannot write {path!r}: {part!r} is not an index of the list of {len(value)}")
            value = value[int(part)] if int(part) < len(value) else MISSING
        elif isinstance(value, dict):
            value = value.get(part, MISSING)
        else:
            where = ".".join(parts[:depth])
            raise PathError(f"cannot write {path!r}: {where!r} is {_kind(value)}, not an object or a list")
        if value is MISSING:
            return


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), type(value).__name__)
