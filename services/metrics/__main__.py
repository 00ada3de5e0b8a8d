"""Metrics as a process: `python -m services.metrics` reads an installation over the bus and serves `/metrics`; with
`health` it says whether that page is served.

    NATS_URL            where the bus is (or NATS_CONTEXT; see `stageflow_es.client.address`)
    STAGEFLOW_PREFIX    subject prefix                                                        stageflow
    STAGEFLOW_METRICS   HOST:PORT to listen on; 0.0.0.0 is for everybody who reaches it       127.0.0.1:9464

It begins, and goes on, without a bus: `stageflow_up` on the page says what can be read. SIGTERM and SIGINT end it.
Exit codes: 0 stopped as asked, or healthy; 1 not healthy; 2 an argument it does not take; 3 a setting is wrong or the
address is taken, and the message says what to do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from http.client import HTTPConnection, HTTPException

import structlog

from services.arguments import word
from services.logs import log_as_json
from stageflow_es.bus.jetstream import BusSettings
from stageflow_es.client import Client, connect, resolve
from stageflow_es.errors import StageFlowError
from stageflow_es.metrics import DEFAULT, Listen, MetricsServer, Observer

OK, UNHEALTHY, OPERATOR = 0, 1, 3
HEALTHY_WITHIN = 9.0

log = structlog.get_logger(__name__)


async def serve(listen: Listen, prefix: str) -> int:
    """Serve until a signal asks it to stop. Raises OperatorError."""
    BusSettings(prefix=prefix)
    resolve()
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)

    async def open_client() -> Client:
        return await connect(prefix=prefix)

    async with MetricsServer(listen, Observer(open_client)) as server:
        log.info("started", prefix=prefix, url=server.url)
        await asked.wait()
    log.info("stopped")
    return OK


def healthy(listen: Listen) -> int:
    """Whether the page is served; what it says does not matter."""
    connection = HTTPConnection(listen.host, listen.port, timeout=HEALTHY_WITHIN)
    try:
        connection.request("GET", "/metrics")
        return OK if connection.getresponse().status == 200 else UNHEALTHY
    except (OSError, HTTPException):
        return UNHEALTHY
    finally:
        connection.close()


def main(arguments: list[str]) -> int:
    asked_for = word("metrics", __doc__, arguments, ("health",))
    log_as_json()
    try:
        listen = Listen.parse(os.environ.get("STAGEFLOW_METRICS") or DEFAULT)
        if asked_for == "health":
            return healthy(listen)
        return asyncio.run(serve(listen, os.environ.get("STAGEFLOW_PREFIX") or "stageflow"))
    except KeyboardInterrupt:  # it had not begun
        return OK
    except (StageFlowError, OSError) as problem:
        print(f"metrics: {problem}", file=sys.stderr)
        return OPERATOR


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
