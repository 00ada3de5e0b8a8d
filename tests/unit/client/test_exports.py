"""Exports are on disk before their histories are let go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stageflow_es.client.exports import Exports
from tests.unit.projection.worlds import ANSWERED, session


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The files that were synced, by their inodes."""
    found: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda file: found.append(os.fstat(file).st_ino))
    return found


def test_an_export_is_whole_on_disk_before_it_gets_its_name_and_its_name_is_on_disk_in_the_end(
    tmp_path: Path, synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[list[int]] = []
    replace = Path.replace

    def named(self: Path, name: Path) -> None:
        before.append(synced.copy())
        replace(self, name)

    monkeypatch.setattr(Path, "replace", named)
    done = session("done", *ANSWERED)
    path, _ = Exports(tmp_path).write(done.state, done.history)
    assert before == [[path.stat().st_ino]]
    assert synced[-1] == tmp_path.stat().st_ino


def test_an_export_that_was_there_already_is_brought_to_disk_with_its_name(tmp_path: Path, synced: list[int]) -> None:
    done = session("done", *ANSWERED)
    path, _ = Exports(tmp_path).write(done.state, done.history)
    synced.clear()
    Exports(tmp_path).write(done.state, done.history)
    assert synced == [path.stat().st_ino, tmp_path.stat().st_ino]
