"""What any release has stored, this one reads, derives again to the byte, and goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
import pytest

from stageflow_es import __version__
from stageflow_es.audit import replay_history, verify_history
from stageflow_es.session import events as ev
from stageflow_es.session import snapshot
from stageflow_es.session.export import Export
from stageflow_es.session.verify import Verified

from .record import HISTORIES, export
from .sessions import SESSIONS

FILES = sorted(HISTORIES.glob("*/*.jsonl"))
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")


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


@pytest.mark.parametrize("name", SESSIONS)
def test_this_release_stores_what_is_kept_of_it(name: str) -> None:
    kept = HISTORIES / __version__ / f"{name}.jsonl"
    assert export(SESSIONS[name]()) == kept.read_bytes(), "python -m tests.replay.record writes those of a new release"


def test_every_type_of_event_is_in_some_history() -> None:
    types = {msgspec.json.decode(line)["type"] for path in FILES for line in path.read_bytes().splitlines()[1:]}
    known = {kind.__struct_config__.tag for kind in get_args(ev.AnyEvent)}
    assert known - types == {"session_archived"}  # a stone, which is all that is left of a history
