"""`stageflow list`: sessions, by status, pipeline or label."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_connection, pairs, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client, SessionInfo

STATUSES = ("running", "waiting", "paused", "completed", "failed", "stopped", "archived", "broken")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--pipeline", metavar="NAME", help="or NAME@DIGEST: those of one version")
    parser.add_argument("--label", metavar="KEY=VALUE")
    parser.add_argument("--limit", type=int, default=50, help="how many at most (%(default)s; 0: all)")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    pairs([args.label] if args.label else [])

    async def work(client: Client) -> int:
        rows: list[SessionInfo] = []
        page = min(args.limit, 500) or 500
        wanted = {"status": args.status, "pipeline": args.pipeline, "label": args.label, "page": page}
        async with aclosing(client.sessions(**wanted)) as found:
            async for row in found:
                if args.json:
                    console.emit(row)
                rows.append(row)
                if len(rows) == args.limit:
                    break
        if not args.json:
            _print(rows)
        return OK

    return with_client(args, work)


def _print(rows: list[SessionInfo]) -> None:
    from stageflow_es.cli.render import session_table

    if rows:
        console.show(session_table(rows))
    else:
        console.note("no sessions")
