"""`stageflow replay`: the state a history leads to, as of any event; or whether another definition would have led to
the same history, and where not. A file needs no server."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.histories import configure_history, verdict, with_history
from stageflow_es.cli.options import OK, UsageError, pipeline_argument

if TYPE_CHECKING:
    from stageflow_es.audit import Definition, History


def configure(parser: argparse.ArgumentParser) -> None:
    configure_history(parser)
    parser.add_argument("--at", type=int, metavar="N", help="the state as of event N (the last)")
    parser.add_argument(
        "--what-if", metavar="FILE", help="another definition: would the history follow from it, and where not"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.what_if is None:
        return with_history(args, lambda history, definition: _state(args, history, definition))
    if args.at is not None:
        raise UsageError("--at and --what-if are two questions: ask one")
    other = pipeline_argument(args.what_if)
    if isinstance(other, str):
        raise UsageError(f"{args.what_if}: no such file")
    return with_history(args, lambda history, _: _what_if(args, history, other))


def _state(args: argparse.Namespace, history: History, definition: Definition | None) -> int:
    from stageflow_es.audit import replay_history
    from stageflow_es.cli.render import state_lines
    from stageflow_es.projection.state_view import state_view
    from stageflow_es.session.export import NotAnExport

    try:
        view = state_view(replay_history(history, definition, at=args.at))
    except NotAnExport:
        raise
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    if args.json:
        console.emit(view)
    else:
        for line in state_lines(view):
            console.show(line)
    return OK


def _what_if(args: argparse.Namespace, history: History, other: Definition) -> int:
    from stageflow_es.audit import what_if
    from stageflow_es.session.verify import Verified

    found = what_if(history, other)
    if isinstance(found, Verified) and not args.json:
        console.show(f"the same: all {found.count} events would follow from {console.plain(args.what_if)} too")
        return OK
    return verdict(found, as_json=args.json)
