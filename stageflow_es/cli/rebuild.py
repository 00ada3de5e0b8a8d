"""`stageflow rebuild`: make a projection's database anew from the events. The old one is used until it is done."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("STAGEFLOW_DB", ".stageflow/projection.db")
    parser.add_argument("--db", type=Path, default=Path(default), metavar="FILE", help="the database (%(default)s)")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
    from stageflow_es.bus.jetstream.settings import BusSettings
    from stageflow_es.projection.rebuild import rebuild

    async def work(client: Client) -> int:
        feed = JetStreamEventFeed(client.link, BusSettings(prefix=args.prefix))
        last = await rebuild(args.db, feed, client.definitions)
        if args.json:
            console.emit({"database": str(args.db), "sequence": last})
        else:
            console.show(f"{args.db} holds everything up to sequence {last}")
        return OK

    return with_client(args, work)
