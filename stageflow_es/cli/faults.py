"""Errors as people meet them: one message, no stack trace, and an exit code that says whose fault it is."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import TextIO

from stageflow_es.cli import INTERRUPTED, console
from stageflow_es.cli.options import OK, REFUSED, NotFound, UsageError
from stageflow_es.client.queries import QueryRefused
from stageflow_es.errors import CommandRejected, DefinitionError, Problem, SessionFailed, StageFlowError

USAGE, OPERATOR, TIMED_OUT = 2, 3, 4


def guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command and turn what it raises into a message on stderr and an exit code."""
    as_json = bool(getattr(args, "json", False))

    def warned(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if as_json:
            console.emit_error({"warning": str(message), "file": filename, "line": lineno})
        else:
            console.complain("warning", f"{filename}:{lineno}: {message}")

    try:
        with warnings.catch_warnings():
            warnings.showwarning = warned
            code = _run(run, args, as_json)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has enough
        code = OK
        _silence(sys.stdout)
    except OSError as wrong:
        code = _say(as_json, OPERATOR, "error", [str(wrong)])
        _silence(sys.stdout)
    return code


def _silence(stream: TextIO) -> None:
    """What is still to be said there goes nowhere: the end of the process would fail over it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(run: Callable[[argparse.Namespace], int], args: argparse.Namespace, as_json: bool) -> int:
    try:
        return run(args)
    except (DefinitionError, CommandRejected, QueryRefused) as refused:
        kind = "rejected" if isinstance(refused, CommandRejected) else "refused"
        return _say(as_json, REFUSED, kind, _lines(refused.problems), refused.problems)
    except SessionFailed as failed:
        return _say(as_json, REFUSED, "failed", [str(failed)])
    except NotFound as missing:
        return _say(as_json, REFUSED, "not found", [str(missing)])
    except UnicodeEncodeError as wrong:
        return _say(as_json, USAGE, "error", [f"{wrong.object!a} is no text: it is not UTF-8"])
    except UsageError as wrong:
        return _say(as_json, USAGE, "error", [str(wrong)])
    except StageFlowError as wrong:
        return _say(as_json, OPERATOR, "error", [str(wrong)])
    except RecursionError:
        return _say(as_json, REFUSED, "error", ["a value in there is nested too deeply to be shown"])
    except TimeoutError:
        return _say(as_json, TIMED_OUT, "error", ["the time given ran out"])
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED


def _lines(problems: Iterable[Problem]) -> list[str]:
    return [f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems]


def _say(as_json: bool, code: int, kind: str, lines: list[str], problems: Iterable[Problem] = ()) -> int:
    try:
        if as_json:
            console.emit_error({"error": kind, "message": "; ".join(lines), "problems": list(problems), "exit": code})
        else:
            for line in lines:
                console.complain(kind, line)
    except OSError:  # nobody hears it; the code says it all the same
        _silence(sys.stderr)
    return code
