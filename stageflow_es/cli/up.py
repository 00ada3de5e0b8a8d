"""`stageflow up`: a NATS server, an engine, a projector and the query service, and metrics on request, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import DEFAULT_PREFIX, OK, add_json, add_prefix, add_stages

if TYPE_CHECKING:
    from stageflow_es.cli.installation import Installation


EXAMPLE = "examples/count_up.json"
"""What to try, in a clone of this repository."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_stages(parser)
    parser.add_argument("--port", type=_port, default=4222, help="of the NATS server (%(default)s; 0: any free one)")
    parser.add_argument("--directory", type=Path, default=Path(".stageflow"), help="for the data (%(default)s)")
    add_prefix(parser)
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
    from stageflow_es.cli.faults import OPERATOR
    from stageflow_es.engine.leaving import run_stages
    from stageflow_es.stages.modules import load_stages

    load_stages(args.stages)
    return run_stages(_serve(args), fault=OPERATOR)


async def _serve(args: argparse.Namespace) -> int:
    from stageflow_es.cli.installation import Installation
    from stageflow_es.log import log_warnings
    from stageflow_es.metrics import DEFAULT, Listen
    from stageflow_es.process import settle

    log_warnings()
    metrics = None if args.metrics is None else Listen.parse(args.metrics or DEFAULT)
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    installation = Installation(
        args.directory, port=args.port, prefix=args.prefix, partitions=args.partitions, metrics=metrics
    )
    async with AsyncExitStack() as running:
        if not await _unless(asked, running.enter_async_context(installation)):
            return OK
        settle()
        if args.json:
            _emit(args, installation)
        else:
            announce(args.prefix, directory=args.directory, url=installation.url, metrics=installation.metrics_url)
        ended = {asyncio.create_task(asked.wait()), asyncio.create_task(installation.wait())}
        done, pending = await asyncio.wait(ended, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if not asked.is_set():  # whoever ends all of it at once ends what it runs, too
            for task in done:
                task.result()
        if not args.json:
            console.note("stopping")
    return OK


async def _unless(asked: asyncio.Event, start: Coroutine[Any, Any, object]) -> bool:
    """Whether it has started: to be asked to stop gives it up, for a projection that is made anew may take long."""
    starting, stopping = asyncio.create_task(start), asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
    if starting.cancelled():
        return False
    starting.result()
    return True


def _emit(args: argparse.Namespace, installation: Installation) -> None:
    from stageflow_es.stages import get_stages

    said = {"url": installation.url, "prefix": args.prefix, "directory": str(args.directory)}
    metrics = {} if installation.metrics_url is None else {"metrics": installation.metrics_url}
    console.emit({**said, "stages": sorted(get_stages()), **metrics})


def announce(prefix: str, *, directory: Path, url: str, metrics: str | None) -> None:
    """Say to people what there is now, and how to reach it."""
    from rich.text import Text

    from stageflow_es.stages import get_stages

    console.show(Text.assemble(("StageFlow is up", "bold green"), f" at {url}, prefix {prefix}"))
    console.show(f"  data     {directory}")
    console.show(f"  stages   {', '.join(map(console.plain, sorted(get_stages())))}")
    if metrics is not None:
        console.show(f"  metrics  {metrics}")
    besides = "" if prefix == DEFAULT_PREFIX else f" STAGEFLOW_PREFIX={prefix}"
    console.show(f"  connect  export NATS_URL={url}{besides}")
    if Path(EXAMPLE).is_file():
        console.show(f"  try      stageflow start {EXAMPLE} --set goal=3 --watch")
    console.show(Text("Ctrl-C stops it; what it did is kept.", style="dim"))
