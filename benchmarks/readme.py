"""The README's figures: the tables and pictures between its markers, made from what is in results/.
`make bench-readme` writes them; nothing between the markers is written by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import plot, records
from benchmarks.figures import Figure
from benchmarks.plot import Column
from benchmarks.records import OURS, RESULTS, Records

BEGIN, END = "<!-- figures: written by `make bench-readme` -->", "<!-- end of figures -->"
README = RESULTS.parent.parent / "README.md"
COMPARED = (
    ("steps/s", "100 at once", "W1, 100 at once", 1.0),
    ("10 steps, ms", "one session alone", "W1, one session alone, p50", 1.0),
    ("input to end, ms", "one session alone", "W2, input to completion, p50", 1.0),
    ("parked, KiB", "engine, each", "parked, memory of the engine each", 1 / 1024),
    ("kill -9 to done, s", "200 sessions", "recovery, from kill -9 to all done", 1.0),
)
"""What engines are compared by: title, note, the figure's name or its beginning, and what it is multiplied by."""
TOLD = (
    "W1, 400 at once",
    "W1, peak memory of the engine",
    "W1, lag of the projection",
    "stageflow up, W1, 100 at once",
    "stageflow up, W1, 400 at once",
    "Python client, W1, 100 at once",
    "Python client, W1, 400 at once",
    "Python client, W2, input to result",
    "start_many, 100 at once, accepted",
    "start_many, 100 at once, on disk",
    "recovery, from the engine's first event",
    "100,000 transitions, engine: last to first",
    "100,000 transitions, input to the next wait, from the snapshot",
    "map of 10,000 items, sequential, engine",
    "map of 10,000 items, parallel, engine",
    "projector, 100 sessions at once, catching up",
    "projection, rebuild of 1,000,000 events",
    "queries over 100,000 sessions",
    "in process, 10 stages",
    "in process, 1,000 stages",
    "validation of 2,000 nodes",
    "import stageflow_es",
    "stageflow --help",
    "fsync alone",
    "JetStream, plain publishes",
    "JetStream, atomic batches of 100",
    "JetStream, atomic batches of 400",
)


class Unmarked(Exception):
    """The README has no place for figures."""


def _found(figures: Iterable[Figure], name: str) -> Figure | None:
    return next((figure for figure in figures if figure.name.startswith(name)), None)


def _steps(figures: Iterable[Figure]) -> float:
    figure = _found(figures, "W1, 100 at once")
    return figure.value if figure else 0.0


def compared(peers: Records) -> tuple[list[str], list[Column]]:
    """Rows and columns of the engines side by side: ours is the first row, then come the faster ones."""
    by_speed = sorted(peers.records, key=lambda record: (record.benchmark != OURS, -_steps(record.figures)))
    rows = [record.benchmark for record in by_speed]
    columns = []
    for title, note, name, factor in COMPARED:
        found = {record.benchmark: _found(record.figures, name) for record in peers.records}
        values = {row: figure.value * factor for row, figure in found.items() if figure is not None}
        columns.append(Column(title, note, values))
    return rows, columns


def _table(rows: Sequence[str], columns: Sequence[Column]) -> list[str]:
    lines = [
        "| | " + " | ".join(f"{column.title}<br>{column.note}" for column in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for row in rows:
        values = [column.values.get(row) for column in columns]
        lines.append(f"| {row} | " + " | ".join("-" if one is None else plot.number(one) for one in values) + " |")
    return lines


def _told(bench: Records) -> list[str]:
    figures = list(bench.figures.values())
    lines = ["| | |", "|---|---|"]
    for name in TOLD:
        figure = _found(figures, name)
        if figure is not None:
            lines.append(f"| {figure.name} | {plot.number(figure.value)} {figure.unit} |")
    return lines


def _where(of: Records) -> str:
    syncs = sorted(record.syncs for record in of.records)
    turns = sorted(record.turns / 1e6 for record in of.records)
    times = sorted(record.at for record in of.records)
    day = f"{times[0][:10]}, {times[0][11:16]} to {times[-1][11:16]} UTC"
    noted = f", and a processor {turns[0]:.1f} to {turns[-1]:.1f} million turns of a Python loop" if turns[0] else ""
    return (
        f"`{of.command}`, {day}: {of.machine.cores} cores ({of.machine.processor}), Python {of.versions['python']}, "
        f"nats-server {of.versions['nats-server']}; meanwhile the disk alone did {syncs[0]:,.0f} to {syncs[-1]:,.0f} "
        f"syncs a second{noted}."
    )


def _picture(name: str, words: str) -> list[str]:
    return [
        "<picture>",
        f'  <source media="(prefers-color-scheme: dark)" srcset="benchmarks/results/{name}-dark.svg">',
        f'  <img alt="{words}" src="benchmarks/results/{name}-light.svg">',
        "</picture>",
    ]


def section(bench: Records | None, peers: Records | None, growth: bool) -> str:
    """What stands between the markers."""
    lines: list[str] = []
    if peers is not None:
        words = "Engines side by side: steps a second, latencies, memory of parked sessions, recovery"
        lines += ["", *_picture("peers", words), "", *_table(*compared(peers)), "", _where(peers)]
    if bench is not None:
        lines += ["", *_told(bench), "", _where(bench)]
    if growth:
        lines += ["", *_picture("growth", "How cost grows with sessions, parked sessions, stages and context")]
    return "\n".join([*lines, ""])


def updated(text: str, section: str) -> str:
    """A README with the section in its place. Raises Unmarked."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Unmarked(f"the README has no {BEGIN} ... {END}")
    return f"{before}{begin}\n{section}\n{end}{after}"


def draw_peers(peers: Records, directory: Path) -> None:
    """Write the picture of engines side by side, once for each theme."""
    rows, columns = compared(peers)
    for theme in plot.THEMES:
        picture = plot.dots("Engines side by side", rows, columns, theme)
        (directory / f"peers-{theme.name}.svg").write_text(picture, encoding="utf-8")


def main() -> int:
    bench, peers = records.read(RESULTS / "bench.json"), records.read(RESULTS / "peers.json")
    if peers is not None:
        draw_peers(peers, RESULTS)
    growth = (RESULTS / "growth-light.svg").exists()
    README.write_text(updated(README.read_text(encoding="utf-8"), section(bench, peers, growth)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
