"""`stageflow verify`: whether a history follows from its definition, event by event. A file needs no server."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from stageflow_es.cli.histories import configure_history, is_file, reading, verdict
from stageflow_es.cli.options import UsageError, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client
    from stageflow_es.session.events import SessionArchived
    from stageflow_es.session.verify import Broken, Verified


def configure(parser: argparse.ArgumentParser) -> None:
    configure_history(parser)
    parser.add_argument("--head", metavar="HASH", help="what the hash of the last event is known to be")
    parser.add_argument("--count", type=int, metavar="N", help="how many events there are known to be")
    parser.add_argument(
        "--against-server", action="store_true", help="a file: compare it with the session's events on the server too"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if is_file(args.history):
        return reading(args.history, lambda: _file(args))
    if args.against_server:
        raise UsageError("--against-server compares a file with the server; a session is read from there anyway")

    async def work(client: Client) -> int:
        record = await client.record(args.history)
        return verdict(await record.verify(head=args.head, count=args.count), as_json=args.json)

    return with_client(args, work)


def _file(args: argparse.Namespace) -> int:
    from stageflow_es.audit import verify_history
    from stageflow_es.session.verify import Verified

    found = verify_history(args.history, head=args.head, count=args.count)
    if not (args.against_server and isinstance(found, Verified)):
        return verdict(found, as_json=args.json)

    async def compare(client: Client) -> int:
        return verdict(await _against_server(client, args.history, found), as_json=args.json)

    return with_client(args, compare)


async def _against_server(client: Client, file: str, verified: Verified) -> Verified | Broken:
    """The file's verdict, or the first event that the server's history has otherwise or has not."""
    from stageflow_es.session.verify import Broken

    record = await client.record(verified.session)
    events = _events(file)
    message = "the server's history ends before it"
    n = 0
    async with aclosing(record.events()) as stored:
        async for data in stored:
            n += 1
            if n == 1 and (archived := _archived(data)) is not None:
                return _against_stone(verified, archived)
            mine = next(events, None)
            if mine is None:
                return verified
            if mine != data:
                message = "the server's history has another event there"
                break
        else:
            if next(events, None) is None:
                return verified
            n += 1
    return Broken(session=verified.session, n=n, kind="tail", message=message)


def _archived(data: bytes) -> SessionArchived | None:
    """The last event of a session that was archived, which is the first there is."""
    from stageflow_es.session.events import SessionArchived
    from stageflow_es.session.spelling import Unreadable, read

    try:
        event = read(data)
    except Unreadable:
        return None
    return event if isinstance(event, SessionArchived) else None


def _against_stone(verified: Verified, stone: SessionArchived) -> Verified | Broken:
    """The file's verdict when it has the history that was archived."""
    from stageflow_es.session.verify import Broken

    if (verified.count, verified.head) == (stone.count, stone.head):
        return verified
    message = f"the session was archived on the server with {stone.count} events and the head {stone.head}"
    return Broken(session=verified.session, n=min(verified.count, stone.count) + 1, kind="tail", message=message)


def _events(file: str) -> Iterator[bytes]:
    """The events of an export that was verified."""
    with Path(file).open("rb") as lines:
        next(lines)
        yield from (line[:-1] for line in lines)
