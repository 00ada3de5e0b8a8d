"""`stageflow docs`: a page of the stages a pipeline may use, and of pipelines, with the schema. Needs no server."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, UsageError, add_json, add_stages, json_value


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipelines", nargs="*", metavar="FILE", help="pipelines to draw on the page")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="where to write; made if need be")
    add_stages(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.docs.html import SCHEMA_FILE, STAGES_FILE, generate_docs_assets
    from stageflow_es.stages.modules import load_stages

    load_stages(args.stages)
    pipelines = {Path(file).stem: json_value(f"@{file}") for file in args.pipelines}
    page, schema, stages = generate_docs_assets(pipelines)
    files = {"index.html": page, SCHEMA_FILE: json.dumps(schema, indent=2) + "\n", STAGES_FILE: stages + "\n"}
    for path in _write(Path(args.output), files):
        if args.json:
            console.emit({"file": str(path)})
        else:
            console.show(console.plain(path))
    return OK


def _write(directory: Path, files: dict[str, str]) -> list[Path]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (directory / name).write_text(content, encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{problem.filename}: {problem.strerror}") from problem
    return [directory / name for name in files]
