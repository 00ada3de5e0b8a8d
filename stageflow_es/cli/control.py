"""`stageflow pause`, `resume`, `stop`, `skip` and `retry`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_answer, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    action = parser.prog.split()[-1]
    parser.add_argument("session")
    parser.add_argument("--reason", help="kept in the history")
    if action == "skip":
        parser.add_argument("--scope", help="which stage, where several are active: its scope in the history")
    add_answer(parser)
    add_connection(parser)
    parser.set_defaults(run=run, action=action)


def run(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        session = client.session(args.session)
        given = {"reason": args.reason, "id": args.id, "wait": not args.no_wait}
        if args.action == "skip":
            given["scope"] = args.scope
        number = await getattr(session, args.action)(**given)
        if args.json:
            console.emit({"session": args.session, "action": args.action, "command_seq": number})
        else:
            console.show(f"{args.action}: {'sent' if args.no_wait else 'done'}")
        return OK

    return with_client(args, work)
