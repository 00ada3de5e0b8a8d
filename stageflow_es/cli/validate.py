"""`stageflow validate`: every problem of pipeline files, one a line, as a compiler says it. Needs no server."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_json, add_stages
from stageflow_es.errors import Problem


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
    errors = 0
    for file in args.files:
        problems = _problems(file, stages)
        errors += sum(problem.severity == "error" for problem in problems)
        for problem in problems:
            _print(file, problem, as_json=args.json)
        if not problems and not args.json:
            console.show(f"{file}: ok")
    return REFUSED if errors else OK


def _problems(file: str, stages: Any) -> list[Problem]:
    from stageflow_es.pipeline import validate

    try:
        document = msgspec.json.decode(Path(file).read_bytes())
    except OSError as problem:
        return [Problem(message=problem.strerror or str(problem))]
    except msgspec.MsgspecError as problem:
        return [Problem(message=f"not JSON: {problem}")]
    return list(validate(document, stages))


def _print(file: str, problem: Problem, *, as_json: bool) -> None:
    if as_json:
        path, severity, message = problem.path, problem.severity, problem.message
        console.emit({"file": file, "path": path, "severity": severity, "message": message})
        return
    from rich.text import Text

    style = "bold red" if problem.severity == "error" else "yellow"
    where = f"{file}:{console.plain(problem.path)}: " if problem.path else f"{file}: "
    console.show(Text.assemble(where, (problem.severity, style), f": {console.plain(problem.message)}"))
