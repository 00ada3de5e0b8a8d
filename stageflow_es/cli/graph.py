"""`stageflow graph`: a pipeline drawn, to SVG or to the terminal. A file needs no server."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import (
    OK,
    UsageError,
    add_connection,
    json_value,
    pipeline_argument,
    with_client,
)
from stageflow_es.cli.pipelines import REFERENCE, find_definition

if TYPE_CHECKING:
    from rich.text import Text

    from stageflow_es.client import Client
    from stageflow_es.docs.drawing.outline import Row
    from stageflow_es.docs.drawing.picture import Panel


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", nargs="?", metavar="PIPELINE", help=f"{REFERENCE}; - reads a file from stdin")
    parser.add_argument("--session", metavar="ID", help="the pipeline that a session runs")
    parser.add_argument("-o", "--output", metavar="FILE.svg", help="write an SVG file; - writes it to stdout")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if (args.pipeline is None) == (args.session is None):
        raise UsageError("say which pipeline: a file or what is registered, or --session")
    document = json_value("-") if args.pipeline == "-" else pipeline_argument(args.pipeline or "")
    if not isinstance(document, str):
        return _draw(document, args)

    async def work(client: Client) -> int:
        if args.session is not None:
            return _draw((await client.record(args.session)).whole().raw, args)
        return _draw(await find_definition(client, args.pipeline), args)

    return with_client(args, work)


def _draw(document: Any, args: argparse.Namespace) -> int:
    from stageflow_es.docs.drawing.picture import picture

    panels = picture(document)
    if args.output is not None:
        _write(panels, args.output)
    elif args.json:
        for panel in panels:
            console.emit(panel)
    else:
        _print(panels)
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
