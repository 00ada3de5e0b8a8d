"""How the processes log: one JSON object a line, on stderr."""

from __future__ import annotations

import sys
import warnings
from typing import TextIO

import structlog


def log_as_json() -> None:
    """Log so from now on, what Python warns of too: such as a stage's docstring that cannot be read."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    warnings.showwarning = _log


def _log(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    log = structlog.get_logger(__name__)
    log.warning("warned", kind=category.__name__, warning=str(message), file=filename, line=lineno)
