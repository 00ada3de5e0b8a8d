"""`stageflow input`: send an input to a session."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_answer, add_connection, json_object, json_value, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session")
    parser.add_argument("type", help="what kind of input, as the stage waits for it")
    parser.add_argument("payload", nargs="?", help="JSON, @FILE, or - for stdin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one field of the payload")
    add_answer(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    payload: Any = None
    if args.set:
        payload = json_object(args.payload, args.set)
    elif args.payload is not None:
        payload = json_value(args.payload)

    async def work(client: Client) -> int:
        session = client.session(args.session)
        number = await session.input(args.type, payload, id=args.id, wait=not args.no_wait)
        if args.json:
            console.emit({"session": args.session, "input": args.type, "command_seq": number})
        else:
            console.show(f"{console.plain(args.type)}: {'sent' if args.no_wait else 'taken'}")
        return OK

    return with_client(args, work)
