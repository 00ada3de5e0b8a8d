"""Printing: for people with rich, for programs one JSON object a line. Nothing of a user's text reaches the terminal
as anything but text: what cannot be printed is shown as an escape."""

from __future__ import annotations

import os
import sys
from functools import cache
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""


@cache
def _console(stderr: bool) -> Console:
    from rich.console import Console

    class OneConsole(Console):
        """Says that its reader has enough by an error, as a file does; rich would end the process."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = OneConsole(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def plain(text: object) -> str:
    """Text that can do nothing to a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in str(text))


def as_json(value: Any) -> str:
    """A JSON value on one line."""
    return plain(msgspec.json.encode(value).decode())


def as_json_lines(value: Any) -> str:
    """A JSON value on many lines."""
    lines = msgspec.json.format(msgspec.json.encode(value), indent=2).decode().split("\n")
    return "\n".join(map(plain, lines))


def show(*parts: RenderableType) -> None:
    """Print for people; strings are taken as they are."""
    _console(False).print(*parts)


def complain(kind: str, message: str) -> None:
    """One line on stderr."""
    from rich.text import Text

    _console(True).print(Text.assemble("stageflow: ", (f"{kind}: ", "bold red"), plain(message)))


def note(message: str) -> None:
    """A remark on stderr that is no error."""
    from rich.text import Text

    _console(True).print(Text(plain(message), style="dim"))


def emit(value: Any) -> None:
    """Print for programs: one JSON object, one line."""
    emit_raw(msgspec.json.encode(value))


def emit_raw(data: bytes) -> None:
    """One JSON object that is encoded already: UTF-8, whatever the terminal's encoding."""
    _write_line(sys.stdout, data)


def emit_error(value: Any) -> None:
    """The same, on stderr."""
    _write_line(sys.stderr, msgspec.json.encode(value))


def _write_line(stream: TextIO, data: bytes) -> None:
    stream.flush()
    stream.buffer.write(data + b"\n")
    stream.buffer.flush()


def prepare() -> None:
    """Have characters the terminal's encoding lacks shown as escapes, and what is closed take anything."""
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
