"""`stageflow register`: publish a pipeline under a name. Sessions that run keep the version they began with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, UsageError, add_connection, pipeline_argument, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("file", help="the pipeline, a JSON file")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    document = pipeline_argument(args.file)
    if isinstance(document, str):
        raise UsageError(f"there is no file {args.file}")

    async def work(client: Client) -> int:
        digest = await client.register(args.name, document)
        if args.json:
            console.emit({"name": args.name, "digest": digest})
        else:
            console.show(f"{console.plain(args.name)}@{digest}")
        return OK

    return with_client(args, work)
