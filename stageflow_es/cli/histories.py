"""What the commands about histories share: a history is a session on the server, or an export in a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import REFUSED, NotFound, UsageError, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.audit import Definition, History
    from stageflow_es.client import Client
    from stageflow_es.session.verify import Broken, Verified


def configure_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("history", metavar="SESSION|FILE", help="a session on the server, or an exported history.jsonl")
    add_connection(parser)


def is_file(text: str) -> bool:
    """Whether an argument means a file: there is one of that name, or no session could have it."""
    from stageflow_es.session.ids import SESSION_ID

    return Path(text).is_file() or SESSION_ID.fullmatch(text) is None


def with_history(args: argparse.Namespace, work: Callable[[History, Definition | None], int]) -> int:
    """Run `work` with the history the arguments name, and its definition where it does not bring it along."""
    from stageflow_es.audit import HistoryBroken

    try:
        if is_file(args.history):
            return reading(args.history, lambda: work(args.history, None))

        async def fetch(client: Client) -> int:
            record = await client.record(args.history)
            return work([data async for data in record.events()], record.whole())

        return with_client(args, fetch)
    except HistoryBroken as problem:
        if problem.broken.kind == "archived":
            raise NotFound(_archived(args.history, problem.broken)) from problem
        return verdict(problem.broken, as_json=args.json)


def _archived(session: str, stone: Broken) -> str:
    """What to say of a session of which only the last event is left."""
    summary = (stone.found or {}).get("summary")
    export = summary.get("export") if isinstance(summary, dict) else None
    file = f" ({export})" if isinstance(export, str) else ""
    return f"session {session} is archived, and what it did is in the export it was archived to{file}: name that file"


def reading(file: str, work: Callable[[], int]) -> int:
    """Run `work`, which reads a file. Raises UsageError when it is none that can be read, or no export."""
    from stageflow_es.session.export import NotAnExport
    from stageflow_es.session.ids import SESSION_ID

    try:
        return work()
    except OSError as problem:
        raise UsageError(f"{file}: {problem.strerror or problem}") from problem
    except NotAnExport as problem:
        session = "; where no file has this name, the session is meant" if SESSION_ID.fullmatch(file) else ""
        raise UsageError(f"{file}: {problem}{session}") from problem


def verdict(found: Verified | Broken, *, as_json: bool) -> int:
    """Print what came of verifying; the exit code."""
    from stageflow_es.cli.render import broken_lines, verified_line
    from stageflow_es.session.verify import Verified

    if as_json:
        console.emit(found)
    elif isinstance(found, Verified):
        console.show(verified_line(found))
    else:
        for line in broken_lines(found):
            console.show(line)
    return 0 if found else REFUSED
