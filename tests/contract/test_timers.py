"""The contract of `Timers`, on both buses."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stageflow_es.engine.ports import Fire, LogRecreated
from tests.contract.conftest import Rig, take

SOON = timedelta(seconds=0.6)


async def test_a_timer_fires_once_it_is_due_with_its_id_and_its_session_s_version(rig: Rig) -> None:
    timers, due = rig.bus.timers, rig.now() + SOON
    reader = await timers.open(rig.bus.partition("s"), 0)
    await timers.set("s", "each[3]/wait 7.2", due, 7)
    assert await reader.fetch(1, 0.01) == []
    await rig.until(due)
    (fire,) = await take(reader, 1)
    assert rig.now() >= due
    assert fire == Fire(seq=fire.seq, session="s", timer="each[3]/wait 7.2", n=7)
    await reader.close()


async def test_a_timer_whose_time_has_passed_fires_at_once(rig: Rig) -> None:
    await rig.bus.timers.set("s", "t", rig.now() - timedelta(days=2), 1)
    reader = await rig.bus.timers.open(rig.bus.partition("s"), 0)
    assert [fire.timer for fire in await take(reader, 1)] == ["t"]
    await reader.close()


async def test_setting_a_timer_again_replaces_it(rig: Rig) -> None:
    timers, now = rig.bus.timers, rig.now()
    await timers.set("s", "t", now + SOON, 1)
    await timers.set("s", "t", now + timedelta(days=9), 2)
    await timers.set("s", "u", now + timedelta(days=9), 3)
    await timers.set("s", "u", now + SOON, 4)
    reader = await timers.open(rig.bus.partition("s"), 0)
    await rig.until(now + SOON)
    assert [(fire.timer, fire.n) for fire in await take(reader, 1)] == [("u", 4)]
    assert await reader.fetch(1, 0.3) == []
    await reader.close()


async def test_a_cancelled_timer_does_not_fire_and_others_of_its_session_do(rig: Rig) -> None:
    timers, due = rig.bus.timers, rig.now() + SOON
    await timers.set("s", "t", due, 1)
    await timers.set("s", "u", due, 1)
    await timers.cancel("s", "t")
    await timers.cancel("s", "never set")
    reader = await timers.open(rig.bus.partition("s"), 0)
    await rig.until(due)
    assert [fire.timer for fire in await take(reader, 1)] == ["u"]
    assert await reader.fetch(1, 0.3) == []
    await reader.close()


async def test_fires_are_read_above_the_floor_and_purged_up_to_it_without_harm_to_open_timers(rig: Rig) -> None:
    timers, partition, past = rig.bus.timers, rig.bus.partition("s"), rig.now() - timedelta(seconds=5)
    for name in ("a", "b"):
        await timers.set("s", name, past, 1)
        reader = await timers.open(partition, 0)
        await take(reader, 1 if name == "a" else 2)
        await reader.close()
    reader = await timers.open(partition, 0)
    first, second = await take(reader, 2)
    await reader.close()
    due = rig.now() + SOON
    await timers.set("s", "open", due, 2)
    await timers.purge(partition, second.seq)
    reader = await timers.open(partition, 0)
    await rig.until(due)
    assert first.seq < second.seq
    assert [fire.timer for fire in await take(reader, 1)] == ["open"]
    await reader.close()


async def test_a_floor_above_the_end_of_the_fires_is_another_log(rig: Rig) -> None:
    with pytest.raises(LogRecreated):
        await rig.bus.timers.open(0, 1000)
