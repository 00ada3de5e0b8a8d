"""`stageflow input`: send an input to a session."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_answer, add_connection, json_object, json_value, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client
    from stageflow_es.client.commands import Sent


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
        from stageflow_es.session.wire import InputBody

        body = InputBody(type=args.type, payload=payload)
        sent = await client.send("input", args.session, body, id=args.id, wait=not args.no_wait)
        outcome = _outcome(sent)
        if args.json:
            answer = {"session": args.session, "input": args.type, "command_seq": sent.seq, "outcome": outcome}
            console.emit(answer)
        else:
            more = f", {_KEPT.format(args.session)}" if outcome == "kept" else ""
            console.show(f"{console.plain(args.type)}: {outcome}{more}")
        return OK

    return with_client(args, work)


_KEPT = "for nothing waits for it yet (`stageflow show {}` says what is waited for)"


def _outcome(sent: Sent) -> str:
    """What became of an input: of one of type `command`, that it was done."""
    if not sent.event:
        return "sent"
    if sent.event != "user_input":
        return "done"
    return "taken" if sent.waits else "kept"
