"""The contract of `EventLog`, on both buses."""

from __future__ import annotations

import asyncio

import pytest

from stageflow_es.bus.memory import MemoryBus
from stageflow_es.engine.ports import Bus, Refused, StoredEvent, WrongSequence
from tests.contract.conftest import Rig


async def test_an_unknown_session_has_no_head_and_no_events(bus: Bus) -> None:
    assert await bus.events.head("nobody") is None
    assert await bus.events.head("not an id") is None
    assert await bus.events.read("nobody") == []


async def test_what_was_appended_is_read_back_in_order_with_its_sequences(bus: Bus) -> None:
    first = await bus.events.append("s", [b"1"], 0)
    await bus.events.append("other", [b"x"], 0)
    last = await bus.events.append("s", [b"2", b"3", b"4"], first)
    events = await bus.events.read("s")
    assert [event.data for event in events] == [b"1", b"2", b"3", b"4"]
    assert [event.seq for event in events] == [first, last - 2, last - 1, last]
    assert await bus.events.head("s") == events[-1]


async def test_reading_after_a_sequence_gives_only_what_is_above_it(bus: Bus) -> None:
    first = await bus.events.append("s", [b"1"], 0)
    last = await bus.events.append("s", [b"2", b"3"], first)
    assert [event.data for event in await bus.events.read("s", first)] == [b"2", b"3"]
    assert await bus.events.read("s", last) == []


async def test_reading_up_to_a_sequence_stops_there(bus: Bus) -> None:
    first = await bus.events.append("s", [b"1"], 0)
    await bus.events.append("other", [b"x"], 0)
    last = await bus.events.append("s", [b"2", b"3", b"4"], first)
    assert [event.data for event in await bus.events.read("s", 0, last - 1)] == [b"1", b"2", b"3"]
    assert [event.data for event in await bus.events.read("s", first, last - 2)] == [b"2"]
    assert await bus.events.read("s", first, first) == []


@pytest.mark.parametrize("about", [None, 0, 1, 3, 4, 5, 6, 700])
async def test_whatever_number_of_events_is_expected_all_of_them_are_read(bus: Bus, about: int | None) -> None:
    last = await bus.events.append("s", [b"%d" % number for number in range(9)], 0)
    await bus.events.append("other", [b"x"], 0)
    read = await bus.events.read("s", last - 6, last - 1, about=about)
    assert [event.data for event in read] == [b"3", b"4", b"5", b"6", b"7"]


async def test_the_first_event_is_the_first_that_is_still_there_and_the_last_stays(bus: Bus) -> None:
    assert await bus.events.first("s") is None
    assert await bus.events.first("not an id") is None
    await bus.events.append("other", [b"x"], 0)
    last = await bus.events.append("s", [b"1", b"2", b"3"], 0)
    assert await bus.events.first("s") == StoredEvent(last - 2, b"1")
    await bus.events.forget("s", last - 1)
    assert await bus.events.first("s") == StoredEvent(last - 1, b"2")
    for before in (last, last + 10):
        await bus.events.forget("s", before)
        assert await bus.events.first("s") == StoredEvent(last, b"3")
    await bus.events.forget("nobody", last)


@pytest.mark.parametrize("events", [[b"x"], [b"x", b"y"]])
async def test_an_append_with_a_wrong_expected_sequence_stores_nothing(bus: Bus, events: list[bytes]) -> None:
    last = await bus.events.append("s", [b"1"], 0)
    for expected in (0, last + 5):
        with pytest.raises(WrongSequence):
            await bus.events.append("s", events, expected)
    with pytest.raises(WrongSequence):
        await bus.events.append("new", events, 3)
    assert [event.data for event in await bus.events.read("s")] == [b"1"]
    assert await bus.events.head("new") is None


async def test_a_conflict_of_some_sessions_does_not_touch_the_appends_of_others(bus: Bus) -> None:
    for number in range(0, 40, 5):
        await bus.events.append(f"s{number}", [b"before"], 0)
    outcomes = await asyncio.gather(
        *(bus.events.append(f"s{number}", [b"a", b"b"], 0) for number in range(40)), return_exceptions=True
    )
    for number, outcome in enumerate(outcomes):
        stored = [event.data for event in await bus.events.read(f"s{number}")]
        if number % 5 == 0:
            assert isinstance(outcome, WrongSequence)
            assert stored == [b"before"]
        else:
            assert stored == [b"a", b"b"]
            assert outcome == (await bus.events.read(f"s{number}"))[-1].seq


async def test_a_session_that_expects_events_it_does_not_have_does_not_touch_others(bus: Bus) -> None:
    appends = [bus.events.append(f"s{number}", [b"x"], 9 if number == 3 else 0) for number in range(12)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert [type(outcome) is WrongSequence for outcome in outcomes] == [number == 3 for number in range(12)]


async def test_of_appends_that_expect_the_same_sequence_exactly_one_is_stored(rig: Rig) -> None:
    other = await rig.second_bus()
    racers = [(rig.bus if number % 2 else other).events.append("s", [b"%d" % number], 0) for number in range(10)]
    outcomes = await asyncio.gather(*racers, return_exceptions=True)
    winners = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, int)]
    assert len(winners) == 1
    assert [event.data for event in await other.events.read("s")] == [b"%d" % winners[0]]


async def test_many_sessions_appending_at_once_each_keep_their_order(bus: Bus) -> None:
    async def grow(session: str) -> None:
        last = 0
        for number in range(15):
            last = await bus.events.append(session, [b"%d" % number] * (number % 3 + 1), last)

    sessions = [f"s{number}" for number in range(30)]
    await asyncio.gather(*map(grow, sessions))
    wanted = [b"%d" % number for number in range(15) for _ in range(number % 3 + 1)]
    for session in sessions:
        assert [event.data for event in await bus.events.read(session)] == wanted


async def test_an_append_whose_sender_gave_up_while_it_was_pending_is_not_stored(bus: Bus) -> None:
    kept = asyncio.ensure_future(bus.events.append("kept", [b"x"], 0))
    dropped = asyncio.ensure_future(bus.events.append("dropped", [b"x"], 0))
    dropped.cancel()
    await kept
    await bus.events.append("later", [b"x"], 0)
    assert await bus.events.head("dropped") is None


async def test_what_can_never_be_stored_is_refused_and_harms_nobody(bus: Bus) -> None:
    outcomes = await asyncio.gather(
        bus.events.append("large", [b"x" * 1_100_000], 0),
        bus.events.append("many", [b"x"] * 1001, 0),
        bus.events.append("none", [], 0),
        bus.events.append("fine", [b"x"], 0),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [Refused, Refused, Refused, int]


async def test_events_nearly_as_large_as_a_message_can_be_come_back_whole(bus: Bus) -> None:
    event = b"x" * 1_000_000
    last = await bus.events.append("s", [event] * 6, 0)
    assert [stored.data for stored in await bus.events.read("s")] == [event] * 6
    head = await bus.events.head("s")
    assert head is not None
    assert (head.seq, head.data) == (last, event)


async def test_a_long_history_between_others_is_read_whole_and_in_order(bus: Bus) -> None:
    last = 0
    for number in range(5):
        events = [b'{"n":%d}' % (number * 1000 + index) for index in range(1000)]
        last = await bus.events.append("long", events, last)
        await bus.events.append(f"between{number}", [b"x"], 0)
    events = await bus.events.read("long")
    assert [event.data for event in events] == [b'{"n":%d}' % number for number in range(5000)]
    assert [event.data for event in await bus.events.read("long", events[-700].seq)] == [
        event.data for event in events[-699:]
    ]


async def test_memory_tells_its_subscribers_of_each_event_once_stored_until_they_leave() -> None:
    bus = MemoryBus()
    seen: list[tuple[str, bytes]] = []
    leave = bus.events.subscribe(lambda session, event: seen.append((session, event.data)))
    last = await bus.events.append("s", [b"1", b"2"], 0)
    with pytest.raises(WrongSequence):
        await bus.events.append("s", [b"refused"], 0)
    leave()
    await bus.events.append("s", [b"3"], last)
    assert seen == [("s", b"1"), ("s", b"2")]
