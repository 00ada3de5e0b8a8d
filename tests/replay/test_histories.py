"""What any release has stored, this one reads, derives again to the byte, and goes on from."""

from __future__ import annotations

import json
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from stageflow_es import __version__
from stageflow_es.audit import replay_history, verify_history
from stageflow_es.docs.schemas import DIRECTORY
from stageflow_es.session import HISTORY_VERSION, snapshot
from stageflow_es.session import events as ev
from stageflow_es.session.export import Export, NotAnExport, verify_export
from stageflow_es.session.verify import Verified

from .record import HISTORIES, KEPT, export

FILES = sorted(HISTORIES.glob("*/*.jsonl"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")

ALWAYS_DEFAULT = {
    *(f"{kind}.cause" for kind in ("BranchCompleted", "ConditionEvaluated", "IterationCompleted", "MapCompleted")),
    *(f"{kind}.cause" for kind in ("MapStarted", "ParallelCompleted", "ParallelStarted", "SessionArchived")),
    *(f"{kind}.cause" for kind in ("SessionCompleted", "SessionFailed", "SessionTerminated")),
    *(f"{kind}.cause" for kind in ("SubpipelineCompleted", "SubpipelineStarted")),
    *("SessionArchived.command_id", "SessionStarted.prev", "SessionTerminated.scope"),
    *("SessionTerminated.artifacts", "SessionTerminated.result"),
}
"""What follows by itself has no cause; the first event has none before it; the root's end is told by its completion."""


@each_file
def test_a_history_of_any_release_verifies(path: Path) -> None:
    found = verify_history(path)
    assert isinstance(found, Verified), found


@each_file
def test_its_last_state_survives_a_snapshot(path: Path) -> None:
    state = replay_history(path)
    dumped = snapshot.dump(state)
    assert snapshot.dump(snapshot.load(dumped, state.pipeline)) == dumped


@each_file
def test_a_change_of_any_event_of_it_is_found_at_the_latest_there(path: Path) -> None:
    with path.open("rb") as lines:
        opened = Export(lines)
        events = list(opened.events())
    for place, data in enumerate(events):
        other = data.replace(b'"at":"20', b'"at":"19', 1)
        found = verify_history([*events[:place], other, *events[place + 1 :]], opened.pipeline, head=opened.header.head)
        assert not found
        assert found.n <= min(place + 2, len(events))  # the next one's `prev` is the hash of this one


@pytest.mark.parametrize("name", KEPT)
def test_this_release_stores_what_is_kept_of_it(name: str) -> None:
    kept = HISTORIES / __version__ / f"{name}.jsonl"
    assert export(KEPT[name]()) == kept.read_bytes(), "python -m tests.replay.record writes those of a new release"


def test_every_type_of_event_is_in_some_history() -> None:
    types = {msgspec.json.decode(line)["type"] for path in FILES for line in path.read_bytes().splitlines()[1:]}
    assert types == {kind.__struct_config__.tag for kind in get_args(ev.AnyEvent)}


def test_every_field_of_every_event_is_in_some_history_with_another_value_than_its_default() -> None:
    told: set[tuple[str, str]] = set()
    for path in FILES:
        for line in path.read_bytes().splitlines()[1:]:
            event = ev.decode(line)
            fields = msgspec.structs.fields(type(event))
            told |= {
                (type(event).__name__, field.name)
                for field in fields
                if getattr(event, field.name) not in (field.default, None, "", [], {})
            }
    all_fields = {
        (kind.__name__, field.name) for kind in get_args(ev.AnyEvent) for field in msgspec.structs.fields(kind)
    }
    assert {f"{kind}.{field}" for kind, field in all_fields - told} == ALWAYS_DEFAULT


SMALL = [path for path in FILES if path.stat().st_size < 2100]


def proves(content: bytes) -> bool:
    try:
        return bool(verify_export(BytesIO(content)))
    except NotAnExport:
        return False


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_no_byte_of_an_export_can_be_changed_left_out_or_added_unseen(path: Path) -> None:
    content = path.read_bytes()
    assert proves(content)
    for place, byte in enumerate(content):
        other = bytes([byte ^ (place * 37 % 255 + 1)])
        assert not proves(content[:place] + other + content[place + 1 :]), place
        assert not proves(content[:place] + content[place + 1 :]), place
        assert not proves(content[:place] + bytes([byte]) + content[place:]), place
    assert not proves(content + b"\n")


@each_file
def test_no_line_of_an_export_can_be_left_out_doubled_or_moved_unseen(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    for place, line in enumerate(lines):
        assert not proves(b"".join(lines[:place] + lines[place + 1 :]))
        assert not proves(b"".join([*lines[:place], line, *lines[place:]]))
        moved = lines[:place] + lines[place + 1 :]
        assert not proves(b"".join([*moved[: place // 2], line, *moved[place // 2 :]])) or place // 2 == place


NAMES = {1: "6ca61e53d29a3dcb"}
"""By version of histories, the hash of every name that can stand in an event."""


def test_other_names_come_into_events_with_another_version_of_histories_only() -> None:
    schema = json.loads((DIRECTORY / "events.schema.json").read_text())
    names = sorted(f"{kind}.{name}" for kind, one in schema["$defs"].items() for name in one.get("properties", ()))
    assert sha256(" ".join(names).encode()).hexdigest()[:16] == NAMES[HISTORY_VERSION], (
        "raise HISTORY_VERSION, if a release has written histories of this one, and note the hash of the new names"
    )
