"""The `stageflow` command. One command, one file; `registry` lists them, and only the one that is called is loaded.

- `registry`      every command, its file, and what it is for
- `options`       arguments that several commands share, and a client made from them
- `console`       printing: for people, or one JSON object a line
- `selecting`     which sessions are meant, many at a time; `histories` are one's, on the server or in a file
- `render`        events and sessions as people read them
- `installation`  what `stageflow up` runs: here, and the `projector` as its `child`
- `faults`        errors -> a message and an exit code

Exit codes: 0 it worked; 1 refused, failed or not found; 2 the command line is wrong; 3 the installation is not as it
should be (no server, no engine, no answer); 4 the time given ran out; 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from stageflow_es import __version__
from stageflow_es.cli import console
from stageflow_es.cli.registry import COMMANDS

INTERRUPTED = 130

EPILOG = """\
exit codes:
  0  it worked
  1  refused, failed, or not found
  2  the command line is wrong
  3  no server, no engine or no answer: the installation is not as it should be
  4  the time given ran out

`stageflow up` starts everything on this machine. Which server the others talk to: --server, --context, NATS_URL,
NATS_CONTEXT, the context selected with `nats context select`, nats://127.0.0.1:4222.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        return _main(arguments)
    except KeyboardInterrupt:  # before the command had begun
        return INTERRUPTED


def _main(arguments: Sequence[str]) -> int:
    console.prepare()
    parser = _parser(arguments)
    try:
        args, unknown = parser.parse_known_args(arguments)
        if unknown:  # argparse would show the usage of `stageflow`, which says nothing of the command's
            args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    if not hasattr(args, "run"):
        parser.print_help()
        return 2
    from stageflow_es.cli import faults

    return faults.guarded(args.run, args)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, with the arguments of no command but the one that is called."""
    parser = argparse.ArgumentParser(
        prog="stageflow",
        description="StageFlow pipelines as durable sessions on NATS JetStream.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="stageflow [-h] [--version] COMMAND ...",
    )
    parser.set_defaults(parser=parser)
    parser.add_argument("--version", action="version", version=f"stageflow {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND ...", prog="stageflow")
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        command.set_defaults(parser=command)
        if name == called:
            import_module(f"stageflow_es.cli.{module}").configure(command)
    return parser


__all__ = ["main"]
