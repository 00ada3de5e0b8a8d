"""`stageflow pipelines`: what is registered, what a version says, and how two differ."""

from __future__ import annotations

import argparse
import json
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, NotFound, add_connection, pipeline_argument, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client

REFERENCE = "a JSON file, a registered name, name@digest, or a digest"


def configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every name with its digest")
    listing.set_defaults(run=run_list)
    showing = actions.add_parser("show", help="print a definition")
    showing.add_argument("reference", help=REFERENCE)
    showing.set_defaults(run=run_show)
    comparing = actions.add_parser("diff", help="compare two definitions; exit code 1 when they differ")
    comparing.add_argument("old", help=REFERENCE)
    comparing.add_argument("new", help=REFERENCE)
    comparing.set_defaults(run=run_diff)
    for action in (listing, showing, comparing):
        add_connection(action)


def run_list(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        pipelines = sorted((await client.pipelines()).items())
        if not pipelines and not args.json:
            console.note("no pipelines")
        for name, digest in pipelines:
            if args.json:
                console.emit({"name": name, "digest": digest})
            else:
                console.show(f"{console.plain(name)}@{digest}")
        return OK

    return with_client(args, work)


def run_show(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        document = await find_definition(client, args.reference)
        if args.json:
            console.emit(document)
        else:
            console.show("\n".join(_lines(document)))
        return OK

    return with_client(args, work)


def run_diff(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        old, new = await find_definition(client, args.old), await find_definition(client, args.new)
        changes = list(
            unified_diff(_lines(old, in_order=True), _lines(new, in_order=True), args.old, args.new, lineterm="")
        )
        if args.json:
            console.emit({"same": not changes, "changes": changes[2:]})
        elif changes:
            _print(changes)
        return REFUSED if changes else OK

    return with_client(args, work)


async def find_definition(client: Client, reference: str) -> dict[str, Any]:
    """The document a reference means. Raises NotFound."""
    document = pipeline_argument(reference)
    if isinstance(document, dict):
        return document
    found = await client.definition(reference)
    if found is None:
        raise NotFound(f"no pipeline {reference!r} is registered")
    return found


def _lines(document: dict[str, Any], *, in_order: bool = False) -> list[str]:
    """Indented JSON; `in_order` sorts the keys, because the order of keys is no difference."""
    text = json.dumps(document, indent=2, ensure_ascii=False, sort_keys=in_order)
    return [console.plain(line) for line in text.split("\n")]


def _print(changes: list[str]) -> None:
    from rich.text import Text

    styles = {"+": "green", "-": "red", "@": "cyan"}
    for line in changes:
        console.show(Text(line, style=styles.get(line[:1], "")))
