"""Every event is one line that people can read, whatever strangers put into it; tables fit the terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any, get_args

import msgspec
import pytest
from rich.console import Console
from rich.table import Table

from stageflow_es.cli.list_sessions import STATUSES
from stageflow_es.cli.render import count_table, engine_table, event_line, session_table
from stageflow_es.client import SessionInfo, UnknownEvent
from stageflow_es.client.queries import PipelineCounts, SessionCounts
from stageflow_es.engine.vitals import Commits, Vitals
from stageflow_es.session import events as ev

ENVELOPE: dict[str, Any] = {"session": "s", "n": 12, "at": "2024-05-06T07:08:09.123456Z"}
NASTY = "no\x1b[2Jde\n"
FILLED: dict[str, Any] = {
    "digest": "0123456789abcdef",
    "entry": NASTY,
    "payload": {"a": NASTY},
    "error": {"type": "ValueError", "message": NASTY},
    "node": NASTY,
    "scope": NASTY,
    "name": NASTY,
    "key": "k",
    "value": NASTY,
    "timer": "t",
    "due": "2024-05-07T07:08:09.123456Z",
    "seconds": 3,
    "wait": "w",
    "input_type": NASTY,
    "problems": [{"message": NASTY}],
    "children": [NASTY],
    "branch": "0",
    "count": 3,
    "index": 0,
    "outputs": {"x": [1] * 500},
    "subpipeline_id": NASTY,
    "head": "h",
    "last_command": 1,
    "export_digest": "e",
    "result": {"text": NASTY},
    "next": NASTY,
}


@pytest.mark.parametrize("kind", get_args(ev.AnyEvent), ids=lambda kind: str(kind.__struct_config__.tag))
def test_every_event_is_one_readable_line(kind: type[ev.Event]) -> None:
    fields = {name: value for name, value in FILLED.items() if name in kind.__struct_fields__}
    if kind is ev.ConditionEvaluated:
        fields["branch"] = 0
    tag = kind.__struct_config__.tag
    event = msgspec.convert({"type": tag, **ENVELOPE, **fields}, kind)

    line = event_line(event).plain  # type: ignore[arg-type]

    assert line.startswith(f"07:08:09.123   12 {tag}")
    assert line.isprintable()
    assert len(line) < 300


def test_an_event_of_a_newer_release_is_a_line_too() -> None:
    line = event_line(UnknownEvent(type="stage_teleported", **ENVELOPE)).plain
    assert line == "07:08:09.123   12 stage_teleported"


def _narrow(table: Table) -> list[str]:
    paper = StringIO()
    Console(width=80, file=paper).print(table)
    return paper.getvalue().splitlines()


def test_on_a_narrow_terminal_engines_numbers_stay_whole_and_their_names_are_folded() -> None:
    commits = Commits(events=12345, rounds=100, seconds=1.0, largest=400, p50=8.21, p99=122.5)
    busy = Vitals(partitions=8, sessions=12000, running=1000, queued=11000, release="0.1.0", commits=commits)
    heads, *lines = _narrow(engine_table({"stageflow-engine-6d4cf56db6-xk2vp": busy}))
    assert heads.split()[0] == "ENGINE"
    assert lines[0].split()[1:] == ["0.1.0", "8", "12000", "1000", "11000", "12345", "123.5", "400", "8.21", "122.50"]
    assert "".join(line.split()[0] for line in lines) == "stageflow-engine-6d4cf56db6-xk2vp"


def test_on_a_narrow_terminal_ids_and_statuses_of_sessions_stay_whole() -> None:
    row = SessionInfo(
        session="order-2026-11-28-000123", status="completed", pipeline="a_rather_long_name_of_a_pipeline",
        digest="0" * 64, version=1234, nodes=["review/approve"], waiting_for=["approval", "payment"], result=None,
        artifacts={}, error=None, labels={}, started_at="2026-11-28T05:19:17Z", updated_at="", finished_at=None,
    )  # fmt: skip
    *_, line = _narrow(session_table([row]))
    assert line.split()[:2] == ["order-2026-11-28-000123", "completed"]
    assert " 1234 " in line
    assert len(line) <= 80


def test_on_a_narrow_terminal_counts_stay_whole() -> None:
    counts = dict.fromkeys(STATUSES, 1234567)
    pipelines = [PipelineCounts(pipeline="a_rather_long_name_of_a_pipeline", sessions=counts)]
    lines = _narrow(count_table(SessionCounts(seq=1, sessions=counts, pipelines=pipelines), STATUSES))
    assert lines[-1].split() == ["all", *["1234567"] * len(STATUSES), str(1_234_567 * len(STATUSES))]
    assert max(map(len, lines)) <= 80
