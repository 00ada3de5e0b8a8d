"""`stageflow doctor`: what the connected server really promises, and whether engines and projection keep up."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_connection

if TYPE_CHECKING:
    from stageflow_es.doctor import Finding, Severity

OPERATOR = 3
LOOKS: dict[Severity, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "cyan"),
    "unknown": ("unknown", "magenta"),
    "warning": ("WARNING", "bold yellow"),
    "error": ("ERROR", "bold red"),
}
_INDENT = " " * 9


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--role", choices=["client", "engine"], help="what this user is meant to be: judge its rights")
    parser.add_argument("--monitor", metavar="URL", help="the server's monitoring port, http://HOST:8222")
    parser.add_argument(
        "--system", metavar="URL", help="a user of the system account, or a context of the `nats` command"
    )
    parser.add_argument(
        "--measure", action="store_true", help="time durable writes too; stores keys that vanish at once"
    )
    add_connection(parser)
    parser.epilog = "exit code: 0 nothing worse than what could not be seen; 1 warnings; 3 errors"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.doctor import worst

    findings = asyncio.run(_examine(args))
    for finding in findings:
        console.emit(finding) if args.json else _show(finding)
    if not args.json:
        _sum_up(findings)
    return {"warning": REFUSED, "error": OPERATOR}.get(worst(findings), OK)


async def _examine(args: argparse.Namespace) -> Sequence[Finding]:
    from stageflow_es.client import connect
    from stageflow_es.doctor import examine, look_inside

    async with connect(args.server, context=args.context, prefix=args.prefix) as client:
        insight = await look_inside(client.link.client, monitor=args.monitor, system=args.system)
        return await examine(client, insight=insight, role=args.role, measure=args.measure)


def _show(finding: Finding) -> None:
    from rich.text import Text

    word, style = LOOKS[finding.severity]
    console.show(Text.assemble((f"{word:<8} ", style), (finding.about, "bold"), ": ", console.plain(finding.says)))
    for text in (finding.means, finding.do and f"-> {finding.do}"):
        if text:
            console.show(Text(_INDENT + console.plain(text), style="dim"))


def _sum_up(findings: Sequence[Finding]) -> None:
    from rich.text import Text

    numbers = {word: sum(finding.severity == word for finding in findings) for word in LOOKS}
    worst = [
        f"{number} {word}{'s' if number > 1 and word != 'unknown' else ''}"
        for word, number in numbers.items()
        if number and word not in ("ok", "note")
    ]
    console.show(Text(f"\n{', '.join(reversed(worst))}" if worst else "\nall is well", style="bold"))
