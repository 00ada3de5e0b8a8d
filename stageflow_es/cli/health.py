"""`stageflow health`: whether the query service answers and its projection keeps up. For people and health checks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        report = await client.health()
        if args.json:
            console.emit(report)
        else:
            console.show(
                " ".join(f"{name}={console.plain(value)}" for name, value in report.items() if value is not None)
            )
        return OK if report["status"] == "ok" else REFUSED

    return with_client(args, work)
