"""`stageflow up`: a NATS server, an engine, a projector and the query service, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_json, add_stages


def configure(parser: argparse.ArgumentParser) -> None:
    add_stages(parser)
    parser.add_argument("--port", type=_port, default=4222, help="of the NATS server (%(default)s; 0: any free one)")
    parser.add_argument("--directory", type=Path, default=Path(".stageflow"), help="for the data (%(default)s)")
    parser.add_argument("--prefix", default=os.environ.get("STAGEFLOW_PREFIX", "stageflow"), help="subject prefix")
    parser.add_argument("--partitions", type=int, default=8, help="fixed when the data is first made (%(default)s)")
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

    log_warnings()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    installation = Installation(args.directory, port=args.port, prefix=args.prefix, partitions=args.partitions)
    async with installation:
        _announce(args, installation.url)
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


def _announce(args: argparse.Namespace, url: str) -> None:
    from stageflow_es.stages import get_stages

    stages = sorted(get_stages())
    if args.json:
        console.emit({"url": url, "prefix": args.prefix, "directory": str(args.directory), "stages": stages})
        return
    from rich.text import Text

    console.show(Text.assemble(("StageFlow is up", "bold green"), f" at {url}, prefix {args.prefix}"))
    console.show(f"  data     {args.directory}")
    console.show(f"  stages   {', '.join(map(console.plain, stages))}")
    console.show(f"  connect  export NATS_URL={url}")
    console.show("  try      stageflow start examples/count_up.json --set goal=3 --watch")
    console.show(Text("Ctrl-C stops it; what it did is kept.", style="dim"))
