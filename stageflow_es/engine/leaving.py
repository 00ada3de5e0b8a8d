"""The end of a process that ran stages, which none of them can hold up: neither one that takes no cancelling for an
answer nor a thread that it began.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from threading import Timer
from typing import Any

from stageflow_es.log import logger

log = logger(__name__)

PATIENCE = 2.0
"""Seconds for tasks to end that are cancelled."""
LAST = 5.0
"""Seconds for the rest, threads among them, before the process is ended."""

_left: list[tuple[asyncio.AbstractEventLoop, int]] = []
"""Loops whose tasks did not end, kept to the last: a task that is forgotten says so on stderr. And the exit code."""


def run_stages(main: Coroutine[Any, Any, int], *, fault: int) -> int:
    """`asyncio.run(main)`, as the last thing a process does. Seconds later the process has ended, with what `main`
    returned, or with `fault` where that raised. Where a thread would hold it up, what was registered with `atexit` is
    left out."""
    code = fault
    runner = asyncio.Runner()
    try:
        code = runner.run(main)
        return code
    finally:
        end = Timer(LAST + PATIENCE, _end, (code,))
        end.daemon = True
        end.start()
        loop = runner.get_loop()
        if runner.run(_ended()):
            loop.close()  # `runner.close()` would wait for threads
        else:
            _left.append((loop, code))


async def _ended() -> bool:
    """Cancel all tasks there are; whether they ended."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    pending = (await asyncio.wait(tasks, timeout=PATIENCE))[1] if tasks else set()
    if pending:
        log.error("left_behind", tasks=sorted(task.get_name() for task in pending))
        return False
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_asyncgens(), PATIENCE)
    return True


@atexit.register  # before stages are loaded: what they registered comes first
def _end_what_is_left() -> None:
    for _, code in _left:
        _end(code)


def _end(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)
