"""Staged batches in memory: links that come and go with the server, and nothing of anybody else's touched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus
from stageflow_es.bus.jetstream import staging as module
from stageflow_es.bus.jetstream.staging import Staging

STREAM = "STAGEFLOW_EVENTS"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    directory = tmp_path / "memory"
    directory.mkdir()
    return directory


def batches(store: Path) -> Path:
    return store / "jetstream" / "$G" / "streams" / STREAM / "batches"


def test_batches_are_staged_where_the_link_leads_until_it_is_cleared(store: Path, memory: Path) -> None:
    staging = Staging(store, [STREAM], memory)
    assert staging.in_memory()
    (batches(store) / "one").mkdir()
    assert [path.name for path in memory.glob("*/*/*")] == ["one"]
    staging.clear()
    assert not batches(store).is_symlink()
    assert list(memory.iterdir()) == []


def test_what_an_earlier_server_left_there_is_taken_away(store: Path, memory: Path) -> None:
    assert Staging(store, [STREAM], memory).in_memory()
    (batches(store) / "left").mkdir()
    assert Staging(store, [STREAM], memory).in_memory()
    assert list(batches(store).iterdir()) == []


def test_a_stream_with_a_batch_under_way_goes_on_staging_on_disk(store: Path, memory: Path) -> None:
    (batches(store) / "under way").mkdir(parents=True)
    assert not Staging(store, [STREAM], memory).in_memory()
    assert not batches(store).is_symlink()
    assert (batches(store) / "under way").is_dir()


def test_a_place_that_is_somebody_elses_is_not_used(store: Path, memory: Path, tmp_path: Path) -> None:
    staging = Staging(store, [STREAM], memory)
    assert staging.in_memory()
    staging.clear()
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "kept").mkdir(parents=True)
    staging._place.symlink_to(elsewhere)
    assert not staging.in_memory()
    staging.clear()
    assert (elsewhere / "kept").is_dir()


def test_without_room_in_memory_batches_stay_on_disk(
    store: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROOM", 1 << 62)
    assert not Staging(store, [STREAM], memory).in_memory()
    assert not Staging(store, [STREAM], memory / "missing").in_memory()
    assert not batches(store).exists()


async def test_a_killed_server_finds_what_was_acknowledged_and_stages_in_memory_again(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path)
    links = batches(tmp_path / "jetstream")
    with server:
        bus = await JetStreamBus.connect(server.url, BusSettings())
        lasts = await asyncio.gather(*(bus.events.append(f"s{number}", [b"1"], 0) for number in range(40)))
        assert links.is_symlink() == module.MEMORY.is_dir()
        await bus.close()
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        assert links.is_symlink() == module.MEMORY.is_dir()
        bus = await JetStreamBus.connect(server.url, BusSettings())
        again = await asyncio.gather(
            *(bus.events.append(f"s{number}", [b"2"], last) for number, last in enumerate(lasts))
        )
        assert min(again) > max(lasts)
        await bus.close()
    assert not links.is_symlink()


def test_what_a_killed_server_left_in_memory_goes_when_it_is_stopped_but_not_another_servers(tmp_path: Path) -> None:
    server, other = EmbeddedServer(tmp_path), EmbeddedServer(tmp_path)
    links = Staging(tmp_path / "jetstream", [STREAM])
    server.start()
    server.kill()
    with other:
        server.stop()
        assert links._place.is_dir()
        other.kill()
    assert not links._place.exists()
