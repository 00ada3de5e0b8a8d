"""`stageflow watch`: the events of a session, stored ones first, then as they happen, until it ends."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client, SessionHandle


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session")
    parser.add_argument("--from", dest="start", type=int, default=1, metavar="N", help="begin with event N (1)")
    parser.add_argument("--follow", action="store_true", help="go on after the session's end, for what retry brings")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        if not (args.json or await client.journal(args.session).read()):
            console.note(f"session {args.session} has no events yet: waiting for its first")
        return await follow(client.session(args.session), args.start, follow_on=args.follow, as_json=args.json)

    return with_client(args, work)


async def follow(session: SessionHandle, start: int, *, follow_on: bool = False, as_json: bool = False) -> int:
    """Print events until the session ends; exit code 1 when that is a failure. Raises SessionFailed where the failure
    lies before `start`."""
    from stageflow_es.cli.render import event_line
    from stageflow_es.client.follow import FINAL, decode, type_of

    last = ""
    async with aclosing(session.raw_events(start, follow=follow_on)) as stream:
        async for data in stream:
            kind = type_of(data)
            last = kind if kind in FINAL else last
            if as_json:
                console.emit_raw(data)
            else:
                console.show(event_line(decode(data)))
    if not last:
        await session.result()
    return REFUSED if last == "session_failed" else OK
