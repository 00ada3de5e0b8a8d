"""A benchmark as a program of its own: `python -m benchmarks.w1` prints its figures."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine

import msgspec

from benchmarks.figures import Figure, table


def end_in_order() -> None:
    """Have SIGTERM end this process as Ctrl-C does: what it has started ends with it."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def program(measure: Callable[[], Coroutine[None, None, list[Figure]]], description: str | None) -> None:
    """Measure, and print a table, or JSON for whoever collects. What a benchmark tells besides goes to stderr."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="for programs")
    as_json = parser.parse_args().json
    end_in_order()
    figures = asyncio.run(measure())
    sys.stdout.write((msgspec.json.encode(figures).decode() if as_json else table(figures)) + "\n")
