"""`stageflow validate`: every problem of pipeline files, one a line, as a compiler says it. Needs no server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_json, add_stages
from stageflow_es.errors import Problem

if TYPE_CHECKING:
    from stageflow_es.pipeline import Layout


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--any-stage", action="store_true", help="do not ask whether the stages named exist here")
    add_stages(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.stages import catalog
    from stageflow_es.stages.modules import load_stages

    load_stages(args.stages)
    stages = None if args.any_stage else catalog()
    errors, strange = 0, False
    for file in args.files:
        problems, layout = _look(file, stages)
        errors += sum(problem.severity == "error" for problem in problems)
        strange |= any(problem.path.endswith("/stage") for problem in problems)
        for problem in problems:
            _print(file, problem, layout, as_json=args.json)
        if not problems and not args.json:
            console.show(f"{file}: ok")
    if strange and not (args.stages or args.json):
        console.note(
            "only the built-in stages are known here: name the module of yours with --stages, or say --any-stage"
        )
    return REFUSED if errors else OK


def _look(file: str, stages: Any) -> tuple[list[Problem], Layout | None]:
    """What is wrong in a file, and where things stand in it if it is JSON."""
    from stageflow_es.pipeline import Layout, validate

    try:
        data = Path(file).read_bytes()
        document = msgspec.json.decode(data)
    except OSError as problem:
        return [Problem(message=problem.strerror or str(problem))], None
    except RecursionError:
        return [Problem(message="not JSON that can be read: it is nested too deep")], None
    except (msgspec.MsgspecError, UnicodeError) as problem:
        return [Problem(message=f"not JSON: {problem}")], None
    layout = Layout(data.decode("utf-8", "replace"))
    return [*layout.repeated, *validate(document, stages)], layout


def _print(file: str, problem: Problem, layout: Layout | None, *, as_json: bool) -> None:
    line, column = layout.place(problem.path) if layout is not None else (None, None)
    if as_json:
        path, severity, message = problem.path, problem.severity, problem.message
        found = {"file": file, "line": line, "column": column, "path": path, "severity": severity, "message": message}
        console.emit(found)
        return
    from rich.text import Text

    style = "bold red" if problem.severity == "error" else "yellow"
    where = f"{console.plain(file)}:" + ("" if line is None else f"{line}:{column}:")
    pointer = f" {console.plain(problem.path)}:" if problem.path else ""
    console.show(Text.assemble(where, " ", (problem.severity, style), f":{pointer} {console.plain(problem.message)}"))
