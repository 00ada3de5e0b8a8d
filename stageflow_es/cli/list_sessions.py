"""`stageflow list`: sessions, by status, pipeline or label, or how many there are."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, UsageError, add_connection, pairs, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client, SessionCounts, SessionInfo

PAGE = 500
"""Sessions, or pipelines, of one answer at most."""
STATUSES = ("running", "waiting", "paused", "completed", "failed", "stopped", "archived", "broken")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--status", choices=STATUSES)
    parser.add_argument("--pipeline", metavar="NAME", help="or NAME@DIGEST: those of one version")
    parser.add_argument("--label", metavar="KEY=VALUE")
    parser.add_argument("--limit", type=int, default=50, help="how many at most (%(default)s; 0: all)")
    parser.add_argument("--count", action="store_true", help="only say how many there are, by pipeline and status")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    pairs([args.label] if args.label else [])
    if args.count:
        return _run_count(args)

    async def work(client: Client) -> int:
        rows: list[SessionInfo] = []
        page = min(args.limit, PAGE) or PAGE
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


def _run_count(args: argparse.Namespace) -> int:
    if args.status or args.label or "@" in (args.pipeline or ""):
        raise UsageError("--count is by pipeline and status: leave --status, --label and @DIGEST out")

    async def work(client: Client) -> int:
        counts = await client.counts(args.pipeline, limit=min(args.limit, PAGE) or PAGE)
        if args.json:
            console.emit(counts)
        else:
            _print_counts(counts)
        return OK

    return with_client(args, work)


def _print_counts(counts: SessionCounts) -> None:
    from stageflow_es.cli.render import count_table

    if not counts.sessions:
        console.note("no sessions")
        return
    console.show(count_table(counts, [status for status in STATUSES if status in counts.sessions]))
    if counts.more:
        console.note(f"and {counts.more} more pipelines, counted in the sum")


def _print(rows: list[SessionInfo]) -> None:
    from stageflow_es.cli.render import session_table

    if rows:
        console.show(session_table(rows))
    else:
        console.note("no sessions")
