"""`stageflow history`: the events of a session that are stored now."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session")
    parser.add_argument("--from", dest="start", type=int, default=1, metavar="N", help="begin with event N (1)")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.cli.render import event_line
    from stageflow_es.client.follow import decode

    async def work(client: Client) -> int:
        events = await client.session(args.session).raw_history(args.start)
        for data in events:
            if args.json:
                console.emit_raw(data)
            else:
                console.show(event_line(decode(data)))
        if not events:
            console.complain("not found", f"there are no events of session {args.session} from {args.start} on")
        return OK if events else REFUSED

    return with_client(args, work)
