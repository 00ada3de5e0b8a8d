"""A projection's file that is locked, full, damaged, another program's, or gone."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from stageflow_es.errors import OperatorError
from stageflow_es.projection import Damaged, Outdated, Projector, Reader, Store, Unavailable, rebuild
from stageflow_es.projection.feed import FeedReader
from stageflow_es.projection.store import Checkpoint
from tests.unit.projection.worlds import World, begin, row, rows, session


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stageflow_es.projection.database.BUSY_FOR", 0.01)
    monkeypatch.setattr("stageflow_es.projection.projector.FIRST_PAUSE", 0.005)


async def _until_troubled(projector: Projector) -> str:
    """Wait for the projector to say what holds it up."""
    while projector.problem is None:
        await asyncio.sleep(0.001)
    return projector.problem


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_locked_file_is_waited_out_and_caught_up_with(world: World) -> None:
    await world.mingle([session("first", begin())])
    async with world.projecting() as projector:
        await projector.caught_up(1)
        with closing(sqlite3.connect(world.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await world.mingle([session("second", begin())])
            assert "locked" in await _until_troubled(projector)
            other.execute("ROLLBACK")
        await projector.caught_up(2)
        assert projector.problem is None
    assert row(world.path, "second")["version"] == 1


async def test_a_full_disk_is_waited_out_and_caught_up_with(world: World) -> None:
    await world.mingle([session("first", begin())])
    async with world.projecting() as projector:
        await projector.caught_up(1)
        with _largest_file(1024):
            await world.mingle([session(f"s{number}", begin()) for number in range(50)])
            await _until_troubled(projector)
        await projector.caught_up(51)
    assert len(rows(world.path)["sessions"]) == 51


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _scribble(path: Path) -> None:
    _remove(path)
    path.write_bytes(b"scribble " * 5000)


def _kept_old(path: Path) -> bytes:
    return Path(f"{path}.old").read_bytes()


async def test_a_damaged_file_is_refused_in_plain_words_and_a_rebuild_mends_it(world: World) -> None:
    await world.mingle([session(f"s{number}", begin()) for number in range(5)])
    await world.project()
    whole = rows(world.path)
    _scribble(world.path)
    with pytest.raises(Damaged, match=r"stageflow rebuild --db .*projection\.db"):
        await Projector(world.feed, world.bus.definitions, Store(world.path)).run()
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert rows(world.path) == whole
    assert _kept_old(world.path).startswith(b"scribble")


async def test_a_file_damaged_deep_inside_is_mended_by_a_rebuild_too(world: World) -> None:
    await world.mingle([session(f"s{number}", begin()) for number in range(200)])
    await world.project()
    whole = rows(world.path)
    data = bytearray(world.path.read_bytes())
    data[3 * 8192 : 12 * 8192] = b"\xab" * (9 * 8192)
    world.path.write_bytes(data)
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert rows(world.path) == whole


async def test_another_programs_database_is_neither_used_nor_replaced(world: World) -> None:
    with closing(sqlite3.connect(world.path)) as other:
        other.execute("CREATE TABLE diary (entry TEXT)")
    with pytest.raises(OperatorError, match="another program"):
        await Projector(world.feed, world.bus.definitions, Store(world.path)).run()
    with pytest.raises(OperatorError, match="another program"):
        await rebuild(world.path, world.feed, world.bus.definitions)
    assert rows(world.path, "diary") == {"diary": []}


async def test_a_file_of_another_release_is_refused_and_a_rebuild_renews_it(world: World) -> None:
    await world.mingle([session("one", begin())])
    await world.project()
    with closing(sqlite3.connect(world.path)) as other, other:
        other.execute("UPDATE meta SET value = '999' WHERE name = 'evolve'")
    with pytest.raises(Outdated, match="stageflow rebuild"):
        await Projector(world.feed, world.bus.definitions, Store(world.path)).run()
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert row(world.path, "one")["version"] == 1


async def test_a_rebuild_without_any_events_leaves_empty_tables(world: World) -> None:
    assert await rebuild(world.path, world.feed, world.bus.definitions) == 0
    assert rows(world.path)["sessions"] == []


async def test_a_file_that_is_removed_is_made_anew_from_all_events(world: World) -> None:
    await world.mingle([session(f"s{number}", begin()) for number in range(5)])
    async with world.projecting() as projector:
        await projector.caught_up(5)
        _remove(world.path)
        await world.mingle([session("late", begin())])
        while projector.position.seq:
            await asyncio.sleep(0)
        await projector.caught_up(6)
    assert len(rows(world.path)["sessions"]) == 6


async def test_a_file_that_is_removed_while_nothing_happens_is_made_anew(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageflow_es.projection.gathering.IDLE", 0.001)
    monkeypatch.setattr("stageflow_es.projection.projector.LOOK_EVERY", 0.0)
    await world.mingle([session(f"s{number}", begin()) for number in range(5)])
    async with world.projecting() as projector:
        await projector.caught_up(5)
        _remove(world.path)
        while projector.position.seq:
            await asyncio.sleep(0)
        await projector.caught_up(5)
    assert len(rows(world.path)["sessions"]) == 5


async def test_a_projector_with_nothing_to_do_goes_on_from_its_own_file(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageflow_es.projection.gathering.IDLE", 0.001)
    monkeypatch.setattr("stageflow_es.projection.projector.LOOK_EVERY", 0.0)
    store, looked = Store(world.path), asyncio.Event()
    checkpoint = store.checkpoint

    async def looking() -> Checkpoint:
        if projector.position.seq:
            looked.set()
        return await checkpoint()

    monkeypatch.setattr(store, "checkpoint", looking)
    await world.mingle([session("one", begin())])
    async with world.projecting(store=store) as projector:
        await looked.wait()
        await world.mingle([session("two", begin())])
        await projector.caught_up(2)
        assert projector.problem is None


async def test_a_reader_follows_a_replaced_file_and_never_makes_one(world: World) -> None:
    reader = Reader(world.path)
    with pytest.raises(Unavailable):
        await reader.row("one")
    assert not world.path.exists()
    await world.mingle([session("one", begin())])
    await world.project()
    assert (await reader.row("one")) is not None
    _scribble(world.path)
    with pytest.raises(OperatorError):
        await reader.row("one")
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert (await reader.row("one")) is not None
    await reader.close()


class _Held:
    """A world's feed that stands still from when `begun` is set until `go` is, and then fails if it `fails`."""

    def __init__(self, world: World) -> None:
        self._feed = world.feed
        self.begun, self.go, self.fails = asyncio.Event(), asyncio.Event(), False

    async def last(self) -> int:
        return await self._feed.last()

    async def created(self) -> str:
        self.begun.set()
        await self.go.wait()
        if self.fails:
            raise OperatorError("the stream is gone")
        return await self._feed.created()

    async def open(self, after: int) -> FeedReader:
        return await self._feed.open(after)


def _files(world: World) -> set[str]:
    return {path.name for path in world.path.parent.iterdir()}


async def test_a_rebuild_while_another_is_under_way_is_refused_and_does_not_disturb_it(world: World) -> None:
    await world.mingle([session(f"s{number}", begin()) for number in range(5)])
    feed = _Held(world)
    first = asyncio.create_task(rebuild(world.path, feed, world.bus.definitions))
    await feed.begun.wait()
    with pytest.raises(OperatorError, match=r"a rebuild of .*projection\.db is under way: wait until it is done"):
        await rebuild(world.path, world.feed, world.bus.definitions)
    feed.go.set()
    assert await first == 5
    assert len(rows(world.path)["sessions"]) == 5
    assert await rebuild(world.path, world.feed, world.bus.definitions) == 5


async def test_a_rebuild_that_fails_leaves_what_was_there_and_nothing_else(world: World) -> None:
    await world.mingle([session("one", begin())])
    await world.project()
    before = _files(world)
    feed = _Held(world)
    feed.fails = True
    feed.go.set()
    with pytest.raises(OperatorError, match="the stream is gone"):
        await rebuild(world.path, feed, world.bus.definitions)
    assert _files(world) == before
    assert row(world.path, "one")["version"] == 1


async def test_a_rebuild_that_is_given_up_leaves_what_was_there_and_nothing_else(world: World) -> None:
    await world.mingle([session("one", begin())])
    await world.project()
    before = _files(world)
    feed = _Held(world)
    given_up = asyncio.create_task(rebuild(world.path, feed, world.bus.definitions))
    await feed.begun.wait()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert _files(world) == before


async def test_what_a_killed_rebuild_left_is_neither_used_nor_left(world: World) -> None:
    await world.mingle([session("one", begin())])
    for name in ("rebuild", "rebuild-wal", "rebuild-shm", "rebuild.lock"):
        world.path.with_name(f"{world.path.name}.{name}").write_bytes(b"half")
    assert await rebuild(world.path, world.feed, world.bus.definitions) == 1
    assert not {name for name in _files(world) if "rebuild" in name}
    assert row(world.path, "one")["version"] == 1
