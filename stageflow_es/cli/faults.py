"""Errors as people meet them: one message, no stack trace, and an exit code that says whose fault it is."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Iterable

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, UsageError
from stageflow_es.client.queries import QueryRefused
from stageflow_es.errors import CommandRejected, DefinitionError, Problem, SessionFailed, StageFlowError

USAGE, OPERATOR, TIMED_OUT, INTERRUPTED = 2, 3, 4, 130


def guarded(run: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """Run a command and turn what it raises into a message on stderr and an exit code."""
    as_json = bool(getattr(args, "json", False))
    try:
        return run(args)
    except (DefinitionError, CommandRejected, QueryRefused) as refused:
        kind = "rejected" if isinstance(refused, CommandRejected) else "refused"
        return _say(as_json, REFUSED, kind, _lines(refused.problems), refused.problems)
    except SessionFailed as failed:
        return _say(as_json, REFUSED, "failed", [str(failed)])
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
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _lines(problems: Iterable[Problem]) -> list[str]:
    return [f"{problem.path}: {problem.message}" if problem.path else problem.message for problem in problems]


def _say(as_json: bool, code: int, kind: str, lines: list[str], problems: Iterable[Problem] = ()) -> int:
    if as_json:
        console.emit_error({"error": kind, "message": "; ".join(lines), "problems": list(problems), "exit": code})
    else:
        for line in lines:
            console.complain(kind, line)
    return code
