"""`stageflow history`: the events of a session that are stored now; with `--export` as a file that can be verified."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from stageflow_es.cli import console
from stageflow_es.cli.histories import verdict
from stageflow_es.cli.options import OK, NotFound, UsageError, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client, SessionHandle


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session")
    parser.add_argument("--from", dest="start", type=int, default=1, metavar="N", help="begin with event N (1)")
    parser.add_argument("--export", metavar="FILE", help="write all of it, with its definition, for `stageflow verify`")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.export is None:
        return with_client(args, lambda client: _print(client, args))
    if args.start != 1:
        raise UsageError("an export has the whole history: leave out --from")
    return with_client(args, lambda client: _export(client, args))


async def _print(client: Client, args: argparse.Namespace) -> int:
    from stageflow_es.cli.render import event_line
    from stageflow_es.client.follow import decode

    events = await client.session(args.session).raw_history(args.start)
    for data in events:
        if args.json:
            console.emit_raw(data)
        else:
            console.show(event_line(decode(data)))
    if not events:
        raise NotFound(f"there are no events of session {args.session} from {args.start} on")
    return OK


async def _export(client: Client, args: argparse.Namespace) -> int:
    from stageflow_es.audit import HistoryBroken

    target = Path(args.export)
    try:
        with _whole(target) as file:
            count = await _write(client.session(args.session), file)
    except HistoryBroken as problem:
        return verdict(problem.broken, as_json=args.json)
    except OSError as problem:
        raise UsageError(f"{target}: {problem.strerror or problem}") from problem
    if args.json:
        console.emit({"session": args.session, "file": str(target), "count": count})
    else:
        console.show(f"{target}: {count} events")
    return OK


async def _write(session: SessionHandle, file: BinaryIO) -> int:
    """Write the export; how many events it has."""
    count = -1  # its first line is the header
    async with aclosing(session.export()) as lines:
        async for line in lines:
            file.write(line)
            count += 1
    return count


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """Write to a file beside its place first: what has its name is whole. A pipe or a device stays what it is."""
    if target.exists() and not (target.is_file() or target.is_dir()):
        with target.open("wb") as file:
            yield file
        return
    part = target.with_name(f"{target.name}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
