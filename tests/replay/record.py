"""Write the golden histories of this release that are not there yet: `python -m tests.replay.record`.

A file that is there is never written again: what a release has stored is what every later one has to read.
"""

from __future__ import annotations

from pathlib import Path

from stageflow_es import __version__
from stageflow_es.session.export import header_line
from stageflow_es.testing.scenario import Scenario
from tests.replay.rich_sessions import RICH
from tests.replay.sessions import SESSIONS

HISTORIES = Path(__file__).parent / "histories"
KEPT = SESSIONS | RICH
"""What every release keeps."""


def export(scenario: Scenario) -> bytes:
    """A session as `stageflow history --export` writes it."""
    state = scenario.state
    header = header_line(
        scenario.pipeline,
        session=state.session,
        count=state.n,
        head=state.head,
        exported_at=scenario.at,
        stageflow=__version__,
    )
    return header + b"".join(event + b"\n" for event in scenario.history)


def main() -> None:
    """Write what is missing."""
    directory = HISTORIES / __version__
    directory.mkdir(parents=True, exist_ok=True)
    for name, make in KEPT.items():
        path = directory / f"{name}.jsonl"
        if not path.exists():
            path.write_bytes(export(make()))
            print(path.relative_to(HISTORIES))


if __name__ == "__main__":
    main()
