"""The contracts of `Checkpoints`, `Leases` and `Definitions`, on both buses."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from hashlib import sha256

import pytest

from stageflow_es.engine.ports import Bus, Checkpoint, ListedSession, Refused, WrongSequence
from stageflow_es.engine.vitals import Commits, Vitals
from tests.contract.conftest import Rig

CHECKPOINT = Checkpoint(
    commands=7, fires=3, commands_created="a", timers_created="b", sessions={"s": ListedSession(n=2)}, owner="e"
)


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
    revision = await bus.leases.acquire(0, "e1")
    assert revision is not None
    assert await bus.leases.acquire(0, "e2") is None
    assert await bus.leases.acquire(1, "e2") is not None
    await bus.leases.release(0, "e1", revision)
    assert await bus.leases.acquire(0, "e2") is not None


async def test_an_engine_gets_what_it_held_itself_back_at_once(bus: Bus) -> None:
    before = await bus.leases.acquire(0, "e1")
    assert before is not None
    after = await bus.leases.acquire(0, "e1")
    assert after is not None
    assert await bus.leases.renew(0, "e1", before) is None
    assert await bus.leases.renew(0, "e1", after) is not None


async def test_only_one_of_many_gets_a_free_partition(rig: Rig) -> None:
    other = await rig.second_bus()
    claims = [(rig.bus if number % 2 else other).leases.acquire(0, f"e{number}") for number in range(8)]
    assert sum(revision is not None for revision in await asyncio.gather(*claims)) == 1


async def test_a_lease_that_is_not_renewed_is_free_after_its_term_and_lost_to_its_owner(rig: Rig) -> None:
    leases = rig.bus.leases
    revision = await leases.acquire(0, "e1")
    assert revision is not None
    until = rig.now() + timedelta(seconds=10)
    while (taken := await leases.acquire(0, "e2")) is None:
        assert rig.now() < until
        await rig.until(rig.now() + timedelta(seconds=0.1))
    assert await leases.renew(0, "e1", revision) is None
    await leases.release(0, "e1", revision)
    assert await leases.acquire(0, "e3") is None
    assert await leases.renew(0, "e2", taken) is not None


async def test_a_renewed_lease_outlives_its_first_term_and_still_ends(rig: Rig) -> None:
    leases = rig.bus.leases
    revision = await leases.acquire(0, "e1")
    for _ in range(5):
        await rig.until(rig.now() + timedelta(seconds=0.4))
        assert revision is not None
        revision = await leases.renew(0, "e1", revision)
    assert revision is not None
    assert await leases.acquire(0, "e2") is None
    until = rig.now() + timedelta(seconds=10)
    while await leases.acquire(0, "e2") is None:
        assert rig.now() < until
        await rig.until(rig.now() + timedelta(seconds=0.1))


async def test_members_are_the_engines_that_announced_themselves_within_a_term(rig: Rig) -> None:
    leases = rig.bus.leases
    busy = Vitals(partitions=3, sessions=7, commits=Commits(events=40, rounds=2))
    await leases.announce("b engine.1", busy)
    await leases.announce("a", Vitals())
    await leases.announce("gone", Vitals())
    await leases.withdraw("gone")
    members = await leases.members()
    assert list(members) == ["a", "b engine.1"]
    assert members == {"a": Vitals(), "b engine.1": busy}
    until = rig.now() + timedelta(seconds=10)
    while "b engine.1" in await leases.members():
        assert rig.now() < until
        await leases.announce("a", Vitals())
        await rig.until(rig.now() + timedelta(seconds=0.1))
    assert list(await leases.members()) == ["a"]


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
