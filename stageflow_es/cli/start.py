"""`stageflow start`: start a session, and with `--watch` or `--wait` see it through."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import (
    OK,
    UsageError,
    add_answer,
    add_connection,
    json_object,
    pairs,
    pipeline_argument,
    seconds,
    with_client,
)

if TYPE_CHECKING:
    from stageflow_es.client import Client, SessionHandle


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", help="a JSON file, a registered name, or name@digest")
    parser.add_argument("payload", nargs="?", help="the context to begin with: JSON, @FILE, or - for stdin")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="one field of the payload")
    parser.add_argument("--session", metavar="ID", help="the session's id (made up when not given)")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="to find it again with list")
    parser.add_argument("--paused", action="store_true", help="begin paused")
    add_ending(parser)
    add_answer(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def add_ending(parser: argparse.ArgumentParser) -> None:
    """What becomes of the command once the session has begun."""
    parser.add_argument("--watch", action="store_true", help="then print its events until it ends")
    parser.add_argument("--wait", action="store_true", help="then wait for its end and print the result")
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help="how long --wait waits (for ever)")


def run(args: argparse.Namespace) -> int:
    arguments: dict[str, Any] = {
        "pipeline": pipeline_argument(args.pipeline),
        "payload": json_object(args.payload, args.set),
        "labels": pairs(args.label),
        "session": args.session,
        "paused": args.paused,
        "id": args.id,
        "wait": not args.no_wait,
    }

    return begin(args, lambda client: client.start(**arguments))


def begin(args: argparse.Namespace, start: Callable[[Client], Awaitable[SessionHandle]]) -> int:
    """Begin a session, and see it through as far as the arguments ask."""
    if args.watch and args.wait:
        raise UsageError("--watch or --wait, not both")

    async def work(client: Client) -> int:
        session = await start(client)
        if args.watch:
            from stageflow_es.cli.watch import follow

            return await follow(session, 1, as_json=args.json)
        if args.wait:
            return await _result(session, args)
        console.emit({"session": session.id}) if args.json else console.show(session.id)
        return OK

    return with_client(args, work)


async def _result(session: SessionHandle, args: argparse.Namespace) -> int:
    outcome = await session.result(args.timeout)
    if args.json:
        console.emit(outcome)
    else:
        console.show(f"{session.id} {outcome.status}")
        console.show(f"result     {console.as_json(outcome.result)}")
        for name, artifact in outcome.artifacts.items():
            console.show(f"artifact   {console.plain(name)} = {console.as_json(artifact)}")
    return OK
