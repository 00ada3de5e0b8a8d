"""`stageflow graph`: a pipeline drawn, to SVG or to the terminal. Needs no server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, UsageError, json_value

if TYPE_CHECKING:
    from rich.text import Text

    from stageflow_es.docs.drawing.outline import Row
    from stageflow_es.docs.drawing.picture import Panel


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a pipeline's JSON; - reads stdin")
    parser.add_argument("-o", "--output", metavar="FILE.svg", help="write an SVG file; - writes it to stdout")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.docs.drawing.picture import picture

    panels = picture(json_value(args.file if args.file == "-" else f"@{args.file}"))
    if args.output is None:
        _print(panels)
    else:
        _write(panels, args.output)
    return OK


def _write(panels: list[Panel], where: str) -> None:
    from stageflow_es.docs.drawing.svg import standalone

    drawn = standalone(panels).encode()
    if where == "-":
        sys.stdout.buffer.write(drawn)
        return
    try:
        Path(where).write_bytes(drawn)
    except OSError as problem:
        raise UsageError(f"{where}: {problem.strerror}") from problem
    console.note(f"wrote {where}")


_STYLES: dict[str, str] = {
    "stage": "blue",
    "condition": "yellow",
    "parallel": "magenta",
    "map": "cyan",
    "subpipeline": "bold",
    "terminal": "green",
    "fallback": "red",
    "if": "yellow",
}


def _print(panels: list[Panel]) -> None:
    from stageflow_es.docs.drawing.outline import outline

    for row in outline(panels):
        console.show(_line(row))


def _line(row: Row) -> Text:
    from rich.text import Text

    from stageflow_es.docs.drawing.outline import MARKS

    plain = console.plain
    line = Text(row.lead, style="dim")
    if row.box is not None:
        style: Any = _STYLES[row.box.kind]
        line.append(f"{MARKS[row.box.kind]} {plain(row.box.id)}", style=f"bold {style}")
        line.append(f"  {plain(row.box.about)}", style="not bold")
    if row.link is not None:
        line.append(plain(row.link.words), style=_STYLES.get(row.link.kind, ""))
    if row.goal:
        between = " " if row.link is not None and row.link.words else ""
        line.append(f"{between}{'↑' if row.above else '↓'} {plain(row.goal)}", style="bold")
    line.append(plain(row.words), style="bold underline")
    return line
