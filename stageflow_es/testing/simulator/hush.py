"""The engine's log during a run: kept off the screen, and looked through for what an engine must never say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

FATAL = frozenset({"actor_crashed", "decide_failed", "start_not_prepared", "stage_not_registered"})
"""What is logged only when the engine itself is at fault, or the run is badly set up."""


@contextmanager
def hushed(tell: Callable[[str, str], None], fail: Callable[[str], None]) -> Iterator[None]:
    """Every log entry goes to `tell` (event, details) and nowhere else; those that must not be, to `fail` too."""

    def processor(logger: Any, level: str, entry: Any) -> Any:
        event = str(entry.pop("event", ""))
        error = sys.exc_info()[1]
        details = " ".join(f"{key}={value}" for key, value in entry.items() if key != "exc_info")
        tell(event, details if error is None else f"{details} {error!r}")
        if event in FATAL:
            fail(f"{event}: {details} {error!r}")
        raise structlog.DropEvent

    processors = structlog.get_config()["processors"]
    before = list(processors)
    processors[:] = [processor]
    structlog.configure(processors=processors)
    try:
        yield
    finally:
        processors[:] = before
        structlog.configure(processors=processors)
