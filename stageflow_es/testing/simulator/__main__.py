"""Run the simulator: one seed, or many until something breaks.

python -m stageflow_es.testing.simulator --seed 7 --whole     one run, every step of it
python -m stageflow_es.testing.simulator --seeds 10000        seeds 0 to 9,999 on all cores
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from stageflow_es.testing.simulator import simulate
from stageflow_es.testing.simulator.many import simulate_many, timed

DESCRIPTION = "The engine under every kind of fault, in virtual time, from a seed."


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m stageflow_es.testing.simulator", description=DESCRIPTION)
    parser.add_argument("--seed", type=int, help="run this one, and show its last steps")
    parser.add_argument("--whole", action="store_true", help="with --seed: show every step")
    parser.add_argument("--seeds", type=int, default=1000, help="how many to run, stopping at the first that breaks")
    parser.add_argument("--first", type=int, default=0, help="with --seeds: the first of them")
    parser.add_argument("--jobs", type=int, help="with --seeds: processes; default: one for each core")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, whole=options.whole)
    return _many(range(options.first, options.first + options.seeds), options.jobs)


def _one(seed: int, *, whole: bool) -> int:
    report = simulate(seed, whole=whole)
    if report.ok:
        print("\n".join(report.lines))
    print(report)
    print(f"trace {report.hash}")
    return 0 if report.ok else 1


def _many(seeds: range, jobs: int | None) -> int:
    summary, seconds = timed(lambda: simulate_many(simulate, seeds, jobs=jobs))
    print(summary)
    print(f"{seconds:.1f} s, {summary.sessions / seconds:,.0f} sessions a second")
    for report in summary.broken:
        print(f"\n{report}\n\nagain: python -m stageflow_es.testing.simulator --seed {report.seed}")
    return 1 if summary.broken else 0


if __name__ == "__main__":
    sys.exit(main())
