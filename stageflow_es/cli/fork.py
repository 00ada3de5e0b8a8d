"""`stageflow fork`: start a session where another one stood, to mend what went wrong and keep what went well."""

from __future__ import annotations

import argparse
from typing import Any

from stageflow_es.cli.options import add_answer, add_connection, json_object, pairs, pipeline_argument
from stageflow_es.cli.start import add_ending, begin


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SESSION", help="the session to fork; it is left as it is")
    parser.add_argument("--at", type=int, metavar="N", help="as of its event N (its latest)")
    parser.add_argument("--id", "--session", dest="session", metavar="NEW", help="the new session's id (made up)")
    parser.add_argument("--pipeline", help="go on under another definition: a JSON file, a name, or name@digest")
    parser.add_argument("--payload", metavar="JSON", help="keys of the context to replace: JSON, @FILE, or - for stdin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one such key")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="beside those of the source")
    parser.add_argument("--paused", action="store_true", help="begin paused")
    add_ending(parser)
    add_answer(parser, key="--key")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    arguments: dict[str, Any] = {
        "at": args.at,
        "session": args.session,
        "pipeline": None if args.pipeline is None else pipeline_argument(args.pipeline),
        "payload": json_object(args.payload, args.set),
        "labels": pairs(args.label),
        "paused": args.paused,
        "id": args.id,
        "wait": not args.no_wait,
    }
    return begin(args, lambda client: client.fork(args.source, **arguments))
