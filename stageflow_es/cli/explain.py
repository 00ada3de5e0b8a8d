"""`stageflow explain`: in words, what a session waits for, why it failed, and which way it went. A file needs no
server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.histories import configure_history, with_history
from stageflow_es.cli.options import OK, UsageError, add_stages

if TYPE_CHECKING:
    from stageflow_es.audit import Definition, History


def configure(parser: argparse.ArgumentParser) -> None:
    configure_history(parser)
    parser.add_argument("--at", type=int, metavar="N", help="as of event N (the last)")
    add_stages(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return with_history(args, lambda history, definition: _explain(args, history, definition))


def _explain(args: argparse.Namespace, history: History, definition: Definition | None) -> int:
    from stageflow_es.audit import explain_history
    from stageflow_es.session.export import NotAnExport
    from stageflow_es.session.telling import tell
    from stageflow_es.stages import catalog
    from stageflow_es.stages.modules import load_stages

    load_stages(args.stages)
    try:
        explanation = explain_history(history, definition, stages=catalog(), at=args.at)
    except NotAnExport:
        raise
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    if args.json:
        console.emit(explanation)
    else:
        for line in tell(explanation):
            console.show(console.plain(line))
    return OK
