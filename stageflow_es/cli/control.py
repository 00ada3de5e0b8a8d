"""`stageflow pause`, `resume`, `stop`, `skip` and `retry`: one session, or all that have something in common."""

from __future__ import annotations

import argparse
from contextlib import aclosing
from typing import TYPE_CHECKING, Literal, cast

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, UsageError, add_answer, add_connection, with_client
from stageflow_es.cli.selecting import add_selection, meant, selection, shown

if TYPE_CHECKING:
    from stageflow_es.client import BulkAnswer, Client, Selection
    from stageflow_es.client.bulk import BulkAction

OUTCOMES: tuple[Literal["accepted", "rejected", "unanswered"], ...] = ("accepted", "rejected", "unanswered")


def configure(parser: argparse.ArgumentParser) -> None:
    action = parser.prog.split()[-1]
    parser.add_argument("session", nargs=None if action == "skip" else "?")
    parser.add_argument("--reason", help="kept in the history")
    if action == "skip":
        parser.add_argument("--scope", help="which stage, where several are active: its scope in the history")
    else:
        add_selection(parser)
    add_answer(parser)
    add_connection(parser)
    parser.set_defaults(run=run, action=action)


def run(args: argparse.Namespace) -> int:
    wanted = None if args.action == "skip" else selection(args)
    if args.session is None:
        return _many(args, wanted)
    if wanted is not None:
        raise UsageError("a session, or what many have in common, not both")
    if args.action != "skip" and args.dry_run:
        raise UsageError("--dry-run shows which sessions are meant by what they have in common; this one is named")

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


def _many(args: argparse.Namespace, wanted: Selection | None) -> int:
    from stageflow_es.client.bulk import APPLIES, takes

    action = cast("BulkAction", args.action)
    if wanted is None:
        raise UsageError(f"{action} which? Name a session, or say what they have in common: --where, --label, --all")
    if args.id or args.no_wait:
        raise UsageError("--id and --no-wait are for one session")
    if wanted.status is not None and wanted.status not in APPLIES[action]:
        fit = ", ".join(sorted(APPLIES[action]))
        raise UsageError(f"{action} is for sessions that are {fit}; to one that is {wanted.status} it does not apply")

    async def work(client: Client) -> int:
        found = [row async for row in client.select(wanted)]
        rows = [row for row in found if takes(row, action)]
        if not await meant(args, action, rows, [row for row in found if not takes(row, action)]):
            return OK
        answers: list[BulkAnswer] = []
        sent = client.bulk(action, rows, reason=args.reason, at_once=args.at_once)
        async with aclosing(shown(action, len(rows), sent, args)) as coming:
            async for answer in coming:
                answers.append(answer)
                if args.json:
                    console.emit(answer)
        return _summary(args, answers)

    return with_client(args, work)


def _summary(args: argparse.Namespace, answers: list[BulkAnswer]) -> int:
    """Print what became of all of them; the exit code."""
    outcomes = [answer.outcome for answer in answers]
    numbers = {kind: outcomes.count(kind) for kind in OUTCOMES}
    if args.json:
        console.emit({"action": args.action, **numbers})
    else:
        for answer in answers:
            if answer.outcome != "accepted":
                console.complain(answer.outcome, f"{answer.session}: {'; '.join(answer.reasons)}")
        console.show(f"{args.action}: {', '.join(f'{number} {kind}' for kind, number in numbers.items())}")
    return OK if numbers["accepted"] == len(answers) else REFUSED
