"""Arguments that several commands share, what they mean, and a client made from them."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from stageflow_es.client import Client

OK, REFUSED = 0, 1
"""What a command's `run` returns; the other exit codes come from errors."""

DEFAULT_PREFIX = "stageflow"


class UsageError(Exception):
    """The command line does not make sense; the message says why."""


class NotFound(Exception):
    """There is nothing of that name; the message says of what kind."""


def seconds(text: str) -> float:
    """A length of time as an argument."""
    given = float(text)
    if not given >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return given


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Where the bus is, and how the answer is printed."""
    group = parser.add_argument_group("connection")
    group.add_argument("-s", "--server", metavar="URL", help="the NATS server(s), comma-separated")
    group.add_argument("--context", metavar="NAME", help="a context of the `nats` command")
    add_prefix(group)
    add_json(parser)


def add_prefix(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    parser.add_argument(
        "--prefix",
        default=os.environ.get("STAGEFLOW_PREFIX") or DEFAULT_PREFIX,
        help=f"subject prefix (STAGEFLOW_PREFIX, or else {DEFAULT_PREFIX})",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs: JSON, one object a line")


def add_answer(parser: argparse.ArgumentParser, *, key: str = "--id") -> None:
    """How a command is sent. `key`: the option that names its idempotency key."""
    parser.add_argument(key, dest="id", metavar="KEY", help="idempotency key: the same key is applied once")
    parser.add_argument("--no-wait", action="store_true", help="return when the bus has it, not when it is applied")
    parser.add_argument(
        "--patience", type=seconds, default=30, metavar="SECONDS", help="how long to wait for an engine (%(default)s)"
    )


def add_stages(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--stages", action="append", default=[], metavar="MODULE", help="a module or file with stages; may be repeated"
    )


def with_client(args: argparse.Namespace, work: Callable[[Client], Awaitable[int]]) -> int:
    """Run `work` with a client of the bus the arguments name."""
    from stageflow_es.client import connect

    async def session() -> int:
        patience = getattr(args, "patience", 30.0)
        async with connect(args.server, context=args.context, prefix=args.prefix, timeout=patience) as client:
            return await work(client)

    return asyncio.run(session())


def json_value(text: str) -> Any:
    """JSON given on the command line, in a file (`@file`), or on stdin (`-`). Raises UsageError."""
    try:
        data = _content(text)
    except OSError as problem:
        raise UsageError(f"{text}: {problem.strerror}") from problem
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError) as problem:
        raise UsageError(f"not JSON: {problem} in {text!r}") from problem


def _content(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else text.encode()


def json_object(text: str | None, settings: Sequence[str]) -> dict[str, Any]:
    """A JSON object, with `key=value` settings on top; a value that is not JSON is text. Raises UsageError, also for
    a key with a dot: where it landed in a context, no path would lead to it."""
    value = {} if text is None else json_value(text)
    if not isinstance(value, dict):
        raise UsageError("the payload has to be a JSON object")
    for key, given in pairs(settings).items():
        if "." in key:
            field = key.partition(".")[0]
            raise UsageError(
                f"--set {key} would set a field of that name, nothing inside {field!r}: give all of {field!r} as JSON"
            )
        try:
            value[key] = msgspec.json.decode(given)
        except msgspec.MsgspecError:
            value[key] = given
    return value


def pairs(settings: Sequence[str]) -> dict[str, str]:
    """`key=value` arguments. Raises UsageError."""
    found = dict(setting.partition("=")[::2] for setting in settings if "=" in setting)
    for setting in settings:
        if setting.find("=") < 1:
            raise UsageError(f"{setting!r} is not KEY=VALUE")
    return found


def pipeline_argument(text: str) -> dict[str, Any] | str:
    """A definition from a file, or the name of a registered one. Raises UsageError."""
    from stageflow_es.pipeline import Layout

    path = Path(text)
    if not (path.suffix == ".json" or path.is_file()):
        return text
    document = json_value(f"@{text}")
    if not isinstance(document, dict):
        raise UsageError(f"{text}: a pipeline is a JSON object")
    for repeated in Layout(path.read_text("utf-8", "replace")).repeated:
        raise UsageError(f"{text}: {repeated.path}: {repeated.message}")
    return document
