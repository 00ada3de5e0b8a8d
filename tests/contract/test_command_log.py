"""The contract of `CommandLog` and `publish`, on both buses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stageflow_es.bus.jetstream import JetStreamBus
from stageflow_es.bus.jetstream.direct_get import every
from stageflow_es.engine.ports import Bus, CommandMessage, LogRecreated, Refused
from tests.contract.conftest import Rig, take


async def test_a_command_arrives_in_its_session_s_partition_as_it_was_sent(bus: Bus) -> None:
    seq = await bus.publish("start", "s1", b'{"pipeline": "p"}', id="s1-1")
    reader = await bus.commands.open(bus.partition("s1"), 0)
    (message,) = await take(reader, 1)
    assert isinstance(message, CommandMessage)
    assert (message.seq, message.session, message.kind) == (seq, "s1", "start")
    assert (message.data, message.id) == (b'{"pipeline": "p"}', "s1-1")
    assert message.at.endswith("Z")
    await reader.close()


async def test_every_command_is_in_exactly_one_partition_in_the_order_it_was_accepted(bus: Bus) -> None:
    sent = [await bus.publish("input", f"s{number % 7}", b"%d" % number) for number in range(60)]
    found: list[int] = []
    for partition in range(bus.partitions):
        reader = await bus.commands.open(partition, 0)
        messages = await take(reader, sum(bus.partition(f"s{number % 7}") == partition for number in range(60)))
        assert [message.seq for message in messages] == sorted(message.seq for message in messages)
        assert {bus.partition(message.session) for message in messages} == {partition}
        assert await reader.fetch(1, 0.05) == []
        found += [message.seq for message in messages]
        await reader.close()
    assert sorted(found) == sent


async def test_reading_begins_above_the_floor_and_goes_on_with_what_comes_later(bus: Bus) -> None:
    floor = await bus.publish("input", "s", b"old")
    await bus.publish("input", "s", b"new")
    reader = await bus.commands.open(bus.partition("s"), floor)
    assert [message.data for message in await take(reader, 1)] == [b"new"]
    waiting = asyncio.create_task(take(reader, 1))
    await asyncio.sleep(0)
    await bus.publish("input", "s", b"later")
    assert [message.data for message in await waiting] == [b"later"]
    await reader.close()


async def test_a_fetch_gives_no_more_than_its_limit_and_keeps_the_rest_for_the_next(bus: Bus) -> None:
    for number in range(10):
        await bus.publish("input", "s", b"%d" % number)
    reader = await bus.commands.open(bus.partition("s"), 0)
    first = await reader.fetch(3, 5)
    assert 0 < len(first) <= 3
    rest = await take(reader, 10 - len(first))
    assert [message.data for message in [*first, *rest]] == [b"%d" % number for number in range(10)]
    await reader.close()


async def test_more_commands_than_a_reader_asks_for_at_a_time_come_without_a_gap(bus: Bus) -> None:
    await asyncio.gather(*(bus.publish("input", "s", b"%d" % number) for number in range(1300)))
    reader = await bus.commands.open(bus.partition("s"), 0)
    messages = await take(reader, 1300)
    assert [message.seq for message in messages] == list(range(1, 1301))
    await reader.close()


async def test_a_purge_forgets_one_partition_up_to_its_floor_and_nothing_else(bus: Bus) -> None:
    sent = {"a": [await bus.publish("input", "a", b"a%d" % number) for number in range(4)]}
    other = next(f"b{number}" for number in range(9) if bus.partition(f"b{number}") != bus.partition("a"))
    await bus.publish("input", other, b"other")
    await bus.commands.purge(bus.partition("a"), sent["a"][1])
    await bus.commands.purge(bus.partition("a"), 0)
    reader = await bus.commands.open(bus.partition("a"), 0)
    assert [message.data for message in await take(reader, 2)] == [b"a2", b"a3"]
    await reader.close()
    reader = await bus.commands.open(bus.partition(other), 0)
    assert [message.data for message in await take(reader, 1)] == [b"other"]
    await reader.close()


async def test_after_everything_was_purged_reading_goes_on_above_the_old_end(bus: Bus) -> None:
    last = await bus.publish("input", "s", b"old")
    await bus.commands.purge(bus.partition("s"), last)
    reader = await bus.commands.open(bus.partition("s"), last)
    await bus.publish("input", "s", b"new")
    assert [(message.seq, message.data) for message in await take(reader, 1)] == [(last + 1, b"new")]
    await reader.close()


async def test_a_floor_above_the_log_s_end_is_another_log(bus: Bus) -> None:
    await bus.publish("input", "s", b"x")
    with pytest.raises(LogRecreated, match="another"):
        await bus.commands.open(bus.partition("s"), 99)


async def test_a_log_keeps_the_identity_it_was_created_with(rig: Rig) -> None:
    created = await rig.bus.commands.created()
    assert created
    assert created == await (await rig.second_bus()).commands.created()


async def test_an_over_long_command_is_refused_in_the_answer_to_its_sender(bus: Bus) -> None:
    for size in (1_000_000, 1_048_570, 3_000_000):
        with pytest.raises(Refused):
            await bus.publish("start", "s", b"x" * size)
    await bus.publish("start", "s", b"x" * 900_000)


async def test_a_command_that_is_rejected_twice_is_so_once(bus: Bus) -> None:
    for _ in range(2):
        await bus.commands.reject("s", 17, b'{"command_seq": 17}')
    await bus.commands.reject("not an id *", 18, b"{}")
    assert await _rejections(bus, "s") == [b'{"command_seq": 17}']


async def _rejections(bus: Any, session: str) -> list[bytes]:
    if isinstance(bus, JetStreamBus):
        stored = await every(bus._link, bus.names.rejections, bus.names.rejection(session), 10)
        return [one.data for one in stored]
    return [data for rejected, data in bus.commands.rejections.values() if rejected == session]
