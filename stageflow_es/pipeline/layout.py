"""Where things stand in a JSON text: the line and column of every value, and keys that an object has twice.

A decoder keeps the last of two equal keys and says nothing; what the first said is lost on its author.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline.pointers import below, shown

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class _Container:
    """An object or a list that is being read: how far, and the keys it had so far."""

    __slots__ = ("at", "keys", "place", "pointer")

    def __init__(self, pointer: str, keys: dict[str, int] | None) -> None:
        self.pointer = pointer
        self.keys = keys
        self.at = 0
        self.place: str | None = None if keys is not None else below(pointer, 0)
        """The pointer of the value that comes next; None: a key comes first."""


class Layout:
    """The layout of a text that is JSON. `repeated`: a problem for every key that stands in its object before."""

    def __init__(self, text: str) -> None:
        self.repeated: list[Problem] = []
        self._places: dict[str, int] = {}
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._read(text)

    def place(self, pointer: str) -> tuple[int, int]:
        """Line and column, from 1, of what a pointer points at, or of the nearest thing around it."""
        while pointer and pointer not in self._places:
            pointer = pointer.rpartition("/")[0]
        return self._spot(self._places.get(pointer, 0))

    def _spot(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def _read(self, text: str) -> None:
        around: list[_Container] = []
        for match in _TOKEN.finditer(text):
            token, offset = match.group(), match.start()
            inner = around[-1] if around else None
            if token in "}]":
                around.pop()
            elif token == ",":
                assert inner is not None
                inner.at += 1
                inner.place = None if inner.keys is not None else below(inner.pointer, inner.at)
            elif inner is not None and inner.place is None:
                self._key(inner, token, offset)
            elif token != ":":
                pointer = "" if inner is None or inner.place is None else inner.place
                self._places[pointer] = offset
                if token in "{[":
                    around.append(_Container(pointer, {} if token == "{" else None))

    def _key(self, inner: _Container, token: str, offset: int) -> None:
        key = msgspec.json.decode(token)
        assert inner.keys is not None
        inner.place = below(inner.pointer, key)
        if key in inner.keys:
            line, column = self._spot(inner.keys[key])
            message = f"the key {shown(key)} stands in this object twice (first on line {line}, column {column})"
            self.repeated.append(Problem(path=inner.place, message=message))
        inner.keys[key] = offset
