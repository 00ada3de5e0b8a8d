"""`stageflow engines`: the engines alive, what they hold and how their group commit goes."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import msgspec

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, REFUSED, add_connection, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client
    from stageflow_es.engine.vitals import Vitals


def configure(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.epilog = "exit code: 0 there is one, at the least; 1 there is none"
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    async def work(client: Client) -> int:
        engines = await client.engines()
        if args.json:
            for name, vitals in engines.items():
                console.emit({"engine": name, **msgspec.to_builtins(vitals)})
        else:
            _print(engines)
        return OK if engines else REFUSED

    return with_client(args, work)


def _print(engines: dict[str, Vitals]) -> None:
    from stageflow_es.cli.render import engine_table

    if engines:
        console.show(engine_table(engines))
        for name, one in engines.items():
            if one.lacking:
                stages = ", ".join(one.lacking)
                console.note(f"{name} has sessions that stand still for stages it has not got: {stages}")
    else:
        console.note("no engine is alive")
