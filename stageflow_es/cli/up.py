"""`stageflow up`: a NATS server, an engine, a projector and the query service, and metrics on request, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_json, add_stages

if TYPE_CHECKING:
    from stageflow_es.cli.installation import Installation


def configure(parser: argparse.ArgumentParser) -> None:
    add_stages(parser)
    parser.add_argument("--port", type=_port, default=4222, help="of the NATS server (%(default)s; 0: any free one)")
    parser.add_argument("--directory", type=Path, default=Path(".stageflow"), help="for the data (%(default)s)")
    parser.add_argument("--prefix", default=os.environ.get("STAGEFLOW_PREFIX", "stageflow"), help="subject prefix")
    parser.add_argument("--partitions", type=int, default=8, help="fixed when the data is first made (%(default)s)")
    parser.add_argument(
        "--metrics",
        nargs="?",
        const="",
        metavar="[HOST:]PORT",
        help="serve what a Prometheus collects, at 127.0.0.1:9464 unless told otherwise (port 0: any free one)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    given = int(text)
    if not 0 <= given < 2**16:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return given


def run(args: argparse.Namespace) -> int:
    from stageflow_es.stages.modules import load_stages

    load_stages(args.stages)
    return asyncio.run(_serve(args))


async def _serve(args: argparse.Namespace) -> int:
    from stageflow_es.cli.installation import Installation, log_warnings
    from stageflow_es.metrics import DEFAULT, Listen

    log_warnings()
    metrics = None if args.metrics is None else Listen.parse(args.metrics or DEFAULT)
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    installation = Installation(
        args.directory, port=args.port, prefix=args.prefix, partitions=args.partitions, metrics=metrics
    )
    async with installation:
        _announce(args, installation)
        ended = {asyncio.create_task(asked.wait()), asyncio.create_task(installation.wait())}
        done, pending = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()
        if not args.json:
            console.note("stopping")
    return OK


def _announce(args: argparse.Namespace, installation: Installation) -> None:
    from stageflow_es.stages import get_stages

    stages, url, metrics = sorted(get_stages()), installation.url, installation.metrics_url
    if args.json:
        said = {"url": url, "prefix": args.prefix, "directory": str(args.directory), "stages": stages}
        console.emit(said if metrics is None else {**said, "metrics": metrics})
        return
    from rich.text import Text

    console.show(Text.assemble(("StageFlow is up", "bold green"), f" at {url}, prefix {args.prefix}"))
    console.show(f"  data     {args.directory}")
    console.show(f"  stages   {', '.join(map(console.plain, stages))}")
    if metrics is not None:
        console.show(f"  metrics  {metrics}")
    console.show(f"  connect  export NATS_URL={url}")
    console.show("  try      stageflow start examples/count_up.json --set goal=3 --watch")
    console.show(Text("Ctrl-C stops it; what it did is kept.", style="dim"))
