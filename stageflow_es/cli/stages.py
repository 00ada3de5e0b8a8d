"""`stageflow stages`: the stages the query service knows, or with `--stages` those of modules here."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from stageflow_es.cli import console
from stageflow_es.cli.options import OK, add_connection, add_stages, with_client

if TYPE_CHECKING:
    from stageflow_es.client import Client


def configure(parser: argparse.ArgumentParser) -> None:
    add_stages(parser)
    parser.add_argument("--local", action="store_true", help="the built-in ones and those of --stages; asks no server")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.local or args.stages:
        return _print(_here(args.stages), as_json=args.json)

    async def work(client: Client) -> int:
        return _print(await client.stages(), as_json=args.json)

    return with_client(args, work)


def _here(modules: list[str]) -> list[dict[str, Any]]:
    import msgspec

    from stageflow_es.stages import catalog
    from stageflow_es.stages.modules import load_stages

    load_stages(modules)
    return [msgspec.to_builtins(spec) for spec in catalog().values()]


def _print(stages: list[dict[str, Any]], *, as_json: bool) -> int:
    stages = sorted(stages, key=lambda stage: (stage.get("category") or "", stage["stage_name"]))
    if as_json:
        for stage in stages:
            console.emit(stage)
    else:
        from stageflow_es.cli.render import stage_table

        console.show(stage_table(stages))
    return OK
