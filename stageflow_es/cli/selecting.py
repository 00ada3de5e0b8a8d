"""Which sessions a command is for, many at a time: the arguments, what they would hit, and whether that is meant."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from stageflow_es.cli import console
from stageflow_es.cli.list_sessions import STATUSES
from stageflow_es.cli.options import UsageError, pairs

if TYPE_CHECKING:
    from stageflow_es.client import Selection, SessionInfo

R = TypeVar("R")

SHOWN = 50
"""Rows of what would be hit that are shown to people."""


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Arguments for many sessions."""
    group = parser.add_argument_group("many sessions")
    group.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="those with this status, pipeline, or label.NAME; may be repeated, and all must hold",
    )
    group.add_argument("--pipeline", metavar="NAME", help="those of this pipeline, or version NAME@DIGEST")
    group.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="those with this label")
    group.add_argument(
        "--older-than", metavar="AGE", help="those that ended, or in which nothing happened, so long ago: 2d, 12h, 30m"
    )
    group.add_argument("--all", action="store_true", help="all there are")
    group.add_argument("--dry-run", action="store_true", help="only show which sessions it would be")
    group.add_argument("-y", "--yes", action="store_true", help="do not ask")
    group.add_argument("--at-once", type=int, default=32, metavar="N", help="how many at a time (%(default)s)")


def selection(args: argparse.Namespace) -> Selection | None:
    """The selection that the arguments make; None: they make none. Raises UsageError."""
    from stageflow_es.client import Selection

    if args.at_once < 1:
        raise UsageError("--at-once has to be 1 at the least")
    fields: dict[str, Any] = {"labels": pairs(args.label), "pipeline": args.pipeline, "older_than": _age(args)}
    for name, value in pairs(args.where).items():
        if name.startswith("label."):
            fields["labels"][name.removeprefix("label.")] = value
        elif name in ("status", "pipeline") and fields.get(name) is None:
            fields[name] = value
        elif name == "label":
            fields["labels"] |= pairs([value])
        else:
            raise UsageError(f"--where {name}={value}: the key is status, pipeline or label.NAME, each once")
    if fields.get("status") not in (None, *STATUSES):
        raise UsageError(f"there is no status {fields['status']!r}: it is one of {', '.join(STATUSES)}")
    wanted = Selection(**fields)
    if args.all and not wanted.everything:
        raise UsageError("--all, or what they have in common, not both")
    return None if wanted.everything and not args.all else wanted


def _age(args: argparse.Namespace) -> timedelta | None:
    from stageflow_es.client.selection import age

    try:
        return None if args.older_than is None else age(args.older_than)
    except ValueError as problem:
        raise UsageError(f"--older-than: {problem}") from problem


async def meant(
    args: argparse.Namespace, what: str, rows: Sequence[SessionInfo], passed_over: Sequence[SessionInfo]
) -> bool:
    """Show what would be hit; whether to go on. `what`: the command, as in "stop"."""
    if args.dry_run and args.json:
        for row in rows:
            console.emit(row)
        return False
    if not args.json and (args.dry_run or not args.yes):
        _show(rows)
    if passed_over and not args.json:
        console.note(f"left alone, for {what} does not apply to them: {_by_status(passed_over)}")
    if args.dry_run:
        console.show(f"{what}: {_many(len(rows))}, nothing done (--dry-run)")
        return False
    if args.yes or not rows:
        return True
    if args.json or not sys.stdin.isatty():
        raise UsageError(f"{what} {_many(len(rows))}: nobody to ask: say --yes, or --dry-run to look")
    return await _answer(f"{what} {_many(len(rows))}? [y/N] ") in ("y", "yes")


async def _answer(question: str) -> str:
    """What somebody at the terminal says. The event loop turns meanwhile: it is what Ctrl-C ends, and what keeps the
    connection."""
    loop = asyncio.get_running_loop()
    said = asyncio.Event()
    sys.stderr.write(question)
    sys.stderr.flush()
    loop.add_reader(sys.stdin, said.set)
    try:
        await said.wait()
    finally:
        loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip().lower()


def _show(rows: Sequence[SessionInfo]) -> None:
    from stageflow_es.cli.render import session_table

    if rows:
        console.show(session_table(list(rows[:SHOWN])))
    if len(rows) > SHOWN:
        console.note(f"and {len(rows) - SHOWN} more")


def _by_status(rows: Sequence[SessionInfo]) -> str:
    from collections import Counter

    return ", ".join(f"{number} {status}" for status, number in Counter(row.status for row in rows).most_common())


def _many(number: int) -> str:
    return f"{number} session{'' if number == 1 else 's'}"


async def shown(what: str, total: int, answers: AsyncGenerator[R], args: argparse.Namespace) -> AsyncGenerator[R]:
    """The answers, with a bar on stderr that says how far it is, where somebody looks."""
    from rich.console import Console
    from rich.progress import Progress

    terminal = Console(stderr=True)
    async with aclosing(answers) as coming:
        with Progress(console=terminal, transient=True, disable=args.json or not terminal.is_terminal) as bar:
            task = bar.add_task(what, total=total)
            async for answer in coming:
                bar.advance(task)
                yield answer
