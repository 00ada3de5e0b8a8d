"""`stageflow archive`: finished sessions into files that prove themselves, and off the server."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, UsageError, add_connection, with_client
from stageflow_es.cli.selecting import add_selection, meant, selection, shown

if TYPE_CHECKING:
    from stageflow_es.client import Archivist, Client, Selection

FINISHED = ("completed", "stopped")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one session."""

    session: str
    outcome: str
    path: str | None = None
    digest: str | None = None
    reason: str | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", nargs="*", metavar="SESSION")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="where the files go")
    parser.add_argument(
        "--include-failed", action="store_true", help="failed ones too; an archived session cannot be retried"
    )
    add_selection(parser)
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    wanted = selection(args)
    if bool(args.sessions) == (wanted is not None):
        raise UsageError("archive which? Name sessions, or say what they have in common: --where, --older-than, --all")
    if args.sessions and args.dry_run:
        raise UsageError("--dry-run shows which sessions are meant by what they have in common; these are named")
    fit = (*FINISHED, "failed") if args.include_failed else FINISHED
    if wanted is not None and wanted.status is not None and wanted.status not in fit:
        hint = "; to archive failed ones, which then cannot be retried any more, say --include-failed"
        raise UsageError(f"archive is for sessions that are {', '.join(fit)}{'' if args.include_failed else hint}")

    async def work(client: Client) -> int:
        sessions = args.sessions if wanted is None else await _selected(client, args, wanted, fit)
        if sessions is None:
            return OK
        async with client.archivist(args.output, include_failed=args.include_failed) as archivist:
            begun = [] if wanted is None else archivist.begun()
            return await _archive(archivist, args, list(dict.fromkeys([*begun, *sessions])))

    return with_client(args, work)


async def _selected(
    client: Client, args: argparse.Namespace, wanted: Selection, fit: tuple[str, ...]
) -> list[str] | None:
    """The sessions of a selection; None: they are not meant after all."""
    found = [row async for row in client.select(wanted)]
    rows = [row for row in found if row.status in fit]
    left = [row for row in found if row.status not in (*fit, "archived")]
    return [row.session for row in rows] if await meant(args, "archive", rows, left) else None


async def _archive(archivist: Archivist, args: argparse.Namespace, sessions: list[str]) -> int:
    from stageflow_es.client.bulk import spread

    async def one(session: str) -> Answer:
        return await _one(archivist, session)

    answers: list[Answer] = []
    async with aclosing(shown("archive", len(sessions), spread(sessions, one, args.at_once), args)) as coming:
        async for answer in coming:
            answers.append(answer)
            _print(answer, args)
    archived = sum(answer.outcome != "left alone" for answer in answers)
    if not args.json:
        console.show(f"archive: {archived} archived, {len(answers) - archived} left alone")
    return OK if archived == len(answers) else REFUSED


async def _one(archivist: Archivist, session: str) -> Answer:
    from stageflow_es.client import NotArchived

    try:
        done = await archivist.archive(session)
    except NotArchived as problem:
        return Answer(session=session, outcome="left alone", reason=str(problem))
    outcome = "archived before" if done.before else "archived"
    return Answer(session=session, outcome=outcome, path=done.path, digest=done.digest)


def _print(answer: Answer, args: argparse.Namespace) -> None:
    if args.json:
        console.emit(answer)
    elif answer.reason is not None:
        console.complain(answer.outcome, f"{answer.session}: {answer.reason}")
    else:
        console.show(f"{answer.session} {answer.outcome} {console.plain(answer.path or '')}".rstrip())
