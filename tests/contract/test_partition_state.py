"""The contracts of `Checkpoints`, `Leases` and `Definitions`, on both buses."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256

import pytest

from stageflow_es.bus.jetstream import bucket
from stageflow_es.engine.ports import Bus, Checkpoint, ListedSession, Member, Refused, WrongSequence
from stageflow_es.engine.vitals import Commits, Vitals
from tests.contract.conftest import Rig

CHECKPOINT = Checkpoint(
    commands=7, fires=3, commands_created="a", timers_created="b", sessions={"s": ListedSession(n=2)}, owner="e"
)
E1, E2, E3 = (Member(name, 1) for name in ("e1", "e2", "e3"))


async def test_a_checkpoint_is_read_as_it_was_written_with_its_revision(rig: Rig) -> None:
    assert await rig.bus.checkpoints.read(0) == (0, None)
    revision = await rig.bus.checkpoints.write(0, 0, CHECKPOINT)
    assert await (await rig.second_bus()).checkpoints.read(0) == (revision, CHECKPOINT)
    assert await rig.bus.checkpoints.read(1) == (0, None)


async def test_a_checkpoint_is_replaced_only_at_the_revision_it_has(bus: Bus) -> None:
    first = await bus.checkpoints.write(0, 0, CHECKPOINT)
    second = await bus.checkpoints.write(0, first, Checkpoint(commands=9))
    for stale in (0, first, second + 1):
        with pytest.raises(WrongSequence):
            await bus.checkpoints.write(0, stale, CHECKPOINT)
    assert await bus.checkpoints.read(0) == (second, Checkpoint(commands=9))


async def test_a_held_partition_is_not_given_to_another_until_it_is_released(bus: Bus) -> None:
    revision = await bus.leases.acquire(0, E1)
    assert revision is not None
    assert await bus.leases.acquire(0, E2) is None
    assert await bus.leases.acquire(1, E2) is not None
    await bus.leases.release(0, E1, revision)
    assert await bus.leases.acquire(0, E2) is not None


async def test_an_engine_gets_what_it_held_itself_back_at_once(bus: Bus) -> None:
    before = await bus.leases.acquire(0, E1)
    assert before is not None
    after = await bus.leases.acquire(0, E1)
    assert after is not None
    assert await bus.leases.renew(0, E1, before) is None
    assert await bus.leases.renew(0, E1, after) is not None


async def test_only_one_of_many_gets_a_free_partition(rig: Rig) -> None:
    other = await rig.second_bus()
    claims = [(rig.bus if number % 2 else other).leases.acquire(0, Member(f"e{number}", 1)) for number in range(8)]
    assert sum(revision is not None for revision in await asyncio.gather(*claims)) == 1


async def test_a_lease_that_is_not_renewed_is_free_after_its_term_and_lost_to_its_owner(rig: Rig) -> None:
    leases = rig.bus.leases
    revision = await leases.acquire(0, E1)
    assert revision is not None
    until = rig.now() + timedelta(seconds=10)
    while (taken := await leases.acquire(0, E2)) is None:
        assert rig.now() < until
        await rig.until(rig.now() + timedelta(seconds=0.1))
    assert await leases.renew(0, E1, revision) is None
    await leases.release(0, E1, revision)
    assert await leases.acquire(0, E3) is None
    assert await leases.renew(0, E2, taken) is not None


async def test_a_renewed_lease_outlives_its_first_term_and_still_ends(rig: Rig) -> None:
    leases = rig.bus.leases
    revision = await leases.acquire(0, E1)
    for _ in range(5):
        await rig.until(rig.now() + timedelta(seconds=0.4))
        assert revision is not None
        revision = await leases.renew(0, E1, revision)
    assert revision is not None
    assert await leases.acquire(0, E2) is None
    until = rig.now() + timedelta(seconds=10)
    while await leases.acquire(0, E2) is None:
        assert rig.now() < until
        await rig.until(rig.now() + timedelta(seconds=0.1))


async def test_members_are_the_engines_that_announced_themselves_within_a_term(rig: Rig) -> None:
    leases = rig.bus.leases
    busy = Vitals(partitions=3, sessions=7, commits=Commits(events=40, rounds=2))
    b, a, gone = [await leases.join(name) for name in ("b engine.1", "a", "gone")]
    assert list(await leases.members()) == ["a", "b engine.1", "gone"]
    assert await leases.announce(b, busy)
    await leases.withdraw(gone)
    members = await leases.members()
    assert list(members) == ["a", "b engine.1"]
    assert members == {"a": Vitals(), "b engine.1": busy}
    until = rig.now() + timedelta(seconds=10)
    while "b engine.1" in await leases.members():
        assert rig.now() < until
        assert await leases.announce(a, Vitals())
        await rig.until(rig.now() + timedelta(seconds=0.1))
    assert list(await leases.members()) == ["a"]


async def test_a_name_belongs_to_whoever_joined_under_it_last(rig: Rig) -> None:
    leases = rig.bus.leases
    earlier = await leases.join("e")
    assert await leases.announce(earlier, Vitals(sessions=1))
    later = await (await rig.second_bus()).leases.join("e")
    assert later.incarnation > earlier.incarnation
    assert not await leases.announce(earlier, Vitals(sessions=1))
    await leases.withdraw(earlier)
    assert await leases.members() == {"e": Vitals()}
    assert await leases.announce(later, Vitals(sessions=2))
    assert await leases.members() == {"e": Vitals(sessions=2)}


async def test_an_engine_takes_what_an_earlier_one_of_its_name_holds_and_nothing_of_a_later_one(bus: Bus) -> None:
    earlier, later = await bus.leases.join("e"), await bus.leases.join("e")
    held = await bus.leases.acquire(0, earlier)
    assert held is not None
    taken = await bus.leases.acquire(0, later)
    assert taken is not None
    assert await bus.leases.acquire(0, earlier) is None
    assert await bus.leases.renew(0, earlier, held) is None
    assert await bus.leases.renew(0, later, taken) is not None


async def test_a_name_nobody_lives_under_any_more_is_anyones(rig: Rig) -> None:
    leases = rig.bus.leases
    earlier, later = await leases.join("e"), await leases.join("e")
    await leases.withdraw(later)
    assert await leases.announce(earlier, Vitals())
    assert (await leases.join("e")).incarnation > later.incarnation


async def test_a_definition_is_stored_once_under_the_digest_of_its_bytes(bus: Bus) -> None:
    digest = await bus.definitions.put(b'{"nodes": []}')
    assert digest == await bus.definitions.put(b'{"nodes": []}') == sha256(b'{"nodes": []}').hexdigest()
    assert await bus.definitions.get(digest) == b'{"nodes": []}'
    assert await bus.definitions.get("0" * 64) is None


async def test_a_name_points_to_its_newest_version_and_remembers_all_of_them(rig: Rig) -> None:
    definitions = rig.bus.definitions
    one, two = await definitions.put(b"1"), await definitions.put(b"2")
    for digest in (two, one, two):
        await definitions.name("orders / v.2 é", digest)
    await definitions.name("other", one)
    other = (await rig.second_bus()).definitions
    assert await other.resolve("orders / v.2 é") == two
    assert await other.versions("orders / v.2 é") == [two, one]
    assert await other.names() == {"orders / v.2 é": two, "other": one}
    assert await other.resolve("unknown") is None
    assert await other.versions("unknown") == []


async def test_a_name_cannot_point_to_a_definition_that_is_not_stored(bus: Bus) -> None:
    with pytest.raises(Refused):
        await bus.definitions.name("orders", "0" * 64)
    assert await bus.definitions.names() == {}


async def test_more_names_than_are_read_at_a_time_are_all_told(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "_PAGE", 3)
    digest = await bus.definitions.put(b'{"pages": 1}')
    names = [f"page {number}" for number in range(7)]
    for name in names:
        await bus.definitions.name(name, digest)
    assert await bus.definitions.names() == dict.fromkeys(names, digest)
