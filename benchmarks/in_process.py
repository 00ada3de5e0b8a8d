"""Sessions without a server, and what a caller waits for before the first of them: sessions of sequential stages,
validation of a large definition, imports, and the command line's help."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.figures import Figure
from benchmarks.program import program
from benchmarks.scale import sized
from benchmarks.stages import chain
from stageflow_es import Context, Pipeline, Session
from stageflow_es.pipeline import validate
from stageflow_es.stages import catalog

ROUNDS = sized(15, 7)
PROCESSES = sized(15, 7)
NODES = 2000
NAMES = "Session, Pipeline, Context, BaseStage, register_stage"


async def _session(steps: int) -> float:
    """Milliseconds of one session, start to end: the median."""
    pipeline = Pipeline.from_dict(chain(steps))
    times = []
    for _ in range(ROUNDS):
        session = Session(id="s", pipeline=pipeline, context=Context(payload={"value": 0}))
        began = time.perf_counter()
        result = await session.run()
        times.append(time.perf_counter() - began)
        assert result.artifacts == {"value": steps}
    return statistics.median(times) * 1000


def _median(work: Callable[[], Any], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _process(*arguments: str) -> float:
    """Milliseconds of a Python process from its start to its end, its modules compiled before as those of an installed
    package are: the median.
    """
    command = [sys.executable, *arguments]
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        run = partial(subprocess.run, command, stdout=subprocess.DEVNULL, env=environment, check=True)
        run()
        return _median(run, PROCESSES)


async def measure() -> list[Figure]:
    definition = chain(NODES - 1)
    return [
        Figure("in process, 10 stages, p50", await _session(10), "ms", 1),
        Figure("in process, 1,000 stages, p50", await _session(1000), "ms", 60),
        Figure(
            f"validation of {NODES:,} nodes, p50", _median(lambda: validate(definition, catalog()), ROUNDS), "ms", 100
        ),
        Figure("python -c pass, p50", _process("-c", "pass"), "ms"),
        Figure("import stageflow_es, whole process, p50", _process("-c", "import stageflow_es"), "ms", 150),
        Figure("the same with Session and stages, p50", _process("-c", f"from stageflow_es import {NAMES}"), "ms", 150),
        Figure("stageflow --help, whole process, p50", _process("-m", "stageflow_es.cli", "--help"), "ms", 250),
    ]


if __name__ == "__main__":
    program(measure, __doc__)
