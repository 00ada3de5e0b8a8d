"""The projector of `stageflow up`, a program of its own: `python -m stageflow_es.cli.projector URL PREFIX FILE`. In the
engine's process every step would wait for what is projected.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from stageflow_es.bus.jetstream import BusSettings, connect
from stageflow_es.bus.jetstream.definitions import JetStreamDefinitions
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.errors import StageFlowError
from stageflow_es.log import log_warnings
from stageflow_es.process import give_way, settle
from stageflow_es.projection import Projector, Store

OK, OPERATOR = 0, 3


async def follow(url: str, prefix: str, database: Path, asked: asyncio.Event) -> None:
    """Follow the events into the file, which is of this release, until asked to stop. Raises OperatorError when only a
    person can help."""
    settings = BusSettings(prefix=prefix)
    connection = await connect(url, within=settings.connect_timeout)
    store = Store(database)
    try:
        link = await Link.open(connection, settings.request_timeout)
        projector = Projector(JetStreamEventFeed(link, settings), JetStreamDefinitions(link, Names(prefix)), store)
        settle()
        await projector.run_until(asked)
        await link.close()
    finally:
        await store.close()
        await connection.close()


async def _until_input_ends(url: str, prefix: str, database: Path) -> None:
    asked = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), asked.set)
    await follow(url, prefix, database, asked)


def main(url: str, prefix: str, database: str) -> int:
    """The exit code: 0 stopped as asked; 3 the installation is not as it should be, and the message says what to do."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a terminal may stop whoever writes to it from the background
    log_warnings()
    give_way()
    try:
        asyncio.run(_until_input_ends(url, prefix, Path(database)))
    except (StageFlowError, OSError) as problem:
        print(f"projector: {problem}", file=sys.stderr)
        return OPERATOR
    return OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
