"""The contract of the feed that projections read, on both buses; and a projection of a real stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stageflow_es.bus.jetstream import JetStreamBus
from stageflow_es.bus.jetstream.event_feed import JetStreamEventFeed
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.memory import MemoryBus, MemoryEventFeed
from stageflow_es.engine.ports import Bus, LogRecreated
from stageflow_es.projection import Projector, Store
from stageflow_es.projection.feed import EventFeed, FeedEvent, FeedReader
from tests.contract.conftest import Rig
from tests.unit.projection.test_projector import FINISHED, archived, many
from tests.unit.projection.worlds import STAGES, row, rows, session

Feed = MemoryEventFeed | JetStreamEventFeed


@pytest.fixture
async def feed(rig: Rig) -> AsyncIterator[Feed]:
    if isinstance(rig.bus, MemoryBus):
        yield MemoryEventFeed(rig.bus.events)
    else:
        assert isinstance(rig.bus, JetStreamBus)
        link = await Link.open(rig.bus.connection, 5)
        yield JetStreamEventFeed(link, rig.bus.settings)
        await link.close()


async def take(reader: FeedReader, wanted: int) -> list[FeedEvent]:
    found: list[FeedEvent] = []
    async with asyncio.timeout(10):
        while len(found) < wanted:
            found += await reader.fetch(wanted - len(found), 10)
    return found


async def test_every_sessions_events_come_in_the_order_they_were_committed(bus: Bus, feed: EventFeed) -> None:
    first = await bus.events.append("a", [b"1", b"2"], 0)
    await bus.events.append("b", [b"3"], 0)
    reader = await feed.open(0)
    early = await take(reader, 3)
    await bus.events.append("a", [b"4"], first)
    late = await take(reader, 1)
    assert [(event.session, event.data) for event in early + late] == [
        ("a", b"1"),
        ("a", b"2"),
        ("b", b"3"),
        ("a", b"4"),
    ]
    assert [event.seq for event in early + late] == sorted({event.seq for event in early + late})
    assert await feed.last() == late[-1].seq
    await reader.close()


async def test_a_reader_begins_behind_the_sequence_it_is_given(bus: Bus, feed: EventFeed) -> None:
    await bus.events.append("a", [b"1"], 0)
    after = await bus.events.append("b", [b"2"], 0)
    await bus.events.append("c", [b"3"], 0)
    reader = await feed.open(after)
    assert [event.data for event in await take(reader, 1)] == [b"3"]
    assert await reader.fetch(10, 0.05) == []
    await reader.close()


async def test_a_position_above_the_end_is_another_stream(bus: Bus, feed: EventFeed) -> None:
    await bus.events.append("a", [b"1"], 0)
    with pytest.raises(LogRecreated):
        await feed.open(5)


async def test_one_sessions_events_come_in_pages(bus: Bus, feed: Feed) -> None:
    last = await bus.events.append("a", [b"1", b"2", b"3"], 0)
    await bus.events.append("b", [b"x"], 0)
    await bus.events.append("a", [b"4"], last)
    first = await feed.page("a", 0, 3)
    assert [event.data for event in first] == [b"1", b"2", b"3"]
    second = await feed.page("a", first[-1].seq, 3)
    assert [event.data for event in second] == [b"4"]
    assert list(await feed.page("a", second[-1].seq, 3)) == []
    assert list(await feed.page("nobody", 0, 3)) == []
    assert list(await feed.page("not an id", 0, 3)) == []


async def test_the_event_behind_another_is_found_past_those_of_other_sessions(bus: Bus, feed: Feed) -> None:
    first = await bus.events.append("a", [b"1"], 0)
    await bus.events.append("b", [b"x"], 0)
    second = await bus.events.append("a", [b"2"], first)
    for after, seq, data in ((0, first, b"1"), (first, second, b"2")):
        found = await feed.next("a", after)
        assert found is not None
        assert (found.seq, found.data) == (seq, data)
    assert await feed.next("a", second) is None
    assert await feed.next("nobody", 0) is None
    assert await feed.next("not an id", 0) is None


async def _append_all(bus: Bus) -> None:
    await bus.definitions.put(STAGES.canonical)
    for scenario in many():
        await bus.events.append(scenario.state.session, scenario.history, 0)


async def _project(bus: Bus, feed: EventFeed, path: Path) -> None:
    store = Store(path)
    projector = Projector(feed, bus.definitions, store)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(projector.run())
        await projector.caught_up(await feed.last())
        await projector.stop()
    await store.close()


async def test_a_projection_follows_either_bus(bus: Bus, feed: EventFeed, tmp_path: Path) -> None:
    await _append_all(bus)
    await _project(bus, feed, tmp_path / "p.db")
    assert {found[0]: found[1] for found in rows(tmp_path / "p.db")["sessions"]} == {
        scenario.state.session: scenario.state.status for scenario in many()
    }


async def _purge(bus: JetStreamBus, session: str, keep: int) -> None:
    link = await Link.open(bus.connection, 5)
    await link.api(f"STREAM.PURGE.{bus.names.events}", {"filter": bus.names.event(session), "keep": keep})
    await link.close()


async def _feed_of(bus: JetStreamBus) -> JetStreamEventFeed:
    return JetStreamEventFeed(await Link.open(bus.connection, 5), bus.settings)


async def test_purges_leave_gaps_in_the_sequences_and_none_in_what_is_read(jetstream: JetStreamBus) -> None:
    feed = await _feed_of(jetstream)
    heads = {}
    for number in range(1, 61):
        name = f"s{number % 3}"
        heads[name] = await jetstream.events.append(name, [b"%d" % number], heads.get(name, 0))
    reader = await feed.open(0)
    early = await take(reader, 10)
    await _purge(jetstream, "s1", keep=0)
    await jetstream.events.append("s0", [b"61"], heads["s0"])
    rest = [event async for event in _until(reader, b"61")]
    fresh = [event async for event in _until(await feed.open(0), b"61")]
    assert [event.data for event in fresh] == [
        b"%d" % number for number in range(1, 62) if number % 3 != 1 or number == 61
    ]
    seen = {event.data for event in [*early, *rest]}
    assert seen >= {event.data for event in fresh}
    assert len(seen) == len(early) + len(rest), "an event came twice"


async def _until(reader: FeedReader, last: bytes) -> AsyncIterator[FeedEvent]:
    while True:
        for event in await take(reader, 1):
            yield event
            if event.data == last:
                await reader.close()
                return


async def test_an_archived_and_purged_session_gives_the_same_row_to_a_rebuild(
    jetstream: JetStreamBus, tmp_path: Path
) -> None:
    feed = await _feed_of(jetstream)
    await _append_all(jetstream)
    done = session("done", *FINISHED)
    last = await jetstream.events.append("done", done.history, 0)
    await jetstream.events.append("done", [archived(done, labels={"tier": "gold"}, started_at=done.at)], last)
    await _project(jetstream, feed, tmp_path / "whole.db")
    await _purge(jetstream, "done", keep=1)
    await _project(jetstream, feed, tmp_path / "stub.db")
    assert row(tmp_path / "whole.db", "done")["status"] == "archived"
    assert rows(tmp_path / "stub.db") == rows(tmp_path / "whole.db")


async def test_a_reader_goes_on_when_its_consumer_is_taken_away(jetstream: JetStreamBus) -> None:
    feed = await _feed_of(jetstream)
    last = await jetstream.events.append("a", [b"1"], 0)
    reader = await feed.open(0)
    assert [event.data for event in await take(reader, 1)] == [b"1"]
    link = await Link.open(jetstream.connection, 5)
    listed = await link.api(f"CONSUMER.NAMES.{jetstream.names.events}")
    for consumer in listed["consumers"]:
        await link.api(f"CONSUMER.DELETE.{jetstream.names.events}.{consumer}")
    await jetstream.events.append("a", [b"2", b"3"], last)
    assert [event.data for event in await take(reader, 2)] == [b"2", b"3"]
    await reader.close()
