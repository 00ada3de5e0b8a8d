"""`stageflow show`: where a session stands, or with `--at` where it stood, with its context."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, NotFound, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session")
    parser.add_argument("--at", type=int, metavar="N", help="the state as of event N, context included")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    return with_client(args, lambda client: _row(client, args) if args.at is None else _state(client, args))


async def _row(client: Client, args: argparse.Namespace) -> int:
    from stageflow_es.cli.render import session_card

    row = await client.session(args.session).get()
    if row is None:
        raise NotFound(f"there is no session {args.session}")
    console.emit(row) if args.json else console.show(session_card(row))
    return OK


async def _state(client: Client, args: argparse.Namespace) -> int:
    state = await client.session(args.session).state(args.at)
    if args.json:
        console.emit(state)
    else:
        console.show(console.as_json_lines(state))
    return OK
