"""The log: structlog, loaded when something is logged, for it takes longer to load than all that a session in this
process needs.

    log = logger(__name__)
    log.warning("partition_lost", partition=3)
"""

from __future__ import annotations

import logging
import sys
from traceback import format_exception
from typing import Any

FRAMES = -8
"""Of an exception, the innermost frames that are logged, without the values in them."""
LONGEST = 10_000
"""Characters of a traceback."""


class Log:
    """Logs an event with its fields, at the level the method is named for."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **fields: Any) -> None:
        self._logger.info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._logger.warning(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self._logger.error(event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """At the level of errors, with the exception that is being handled."""
        self._logger.exception(event, **fields)

    @property
    def _logger(self) -> Any:
        import structlog

        return structlog.get_logger(self._name)


def traceback_of(error: BaseException) -> str:
    """Where a user's exception was raised, for the log: the innermost frames, without the values in them."""
    return "".join(format_exception(error, limit=FRAMES))[:LONGEST]


def logger(name: str) -> Log:
    """The log of a module."""
    return Log(name)


def log_warnings() -> None:
    """Log warnings and worse to stderr; the rest is of no interest to somebody at a terminal."""
    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
