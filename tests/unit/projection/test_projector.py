"""The projector: every event exactly once, whatever happens around it."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Awaitable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import msgspec
import pytest
from structlog.testing import capture_logs

from stageflow_es.engine.ports import BusError, LogRecreated, Unanswered
from stageflow_es.errors import OperatorError
from stageflow_es.pipeline import Pipeline
from stageflow_es.projection import Projector, Store, Unavailable, rebuild
from stageflow_es.projection.folding import Change
from stageflow_es.projection.rows import row_of
from stageflow_es.projection.store import Checkpoint
from stageflow_es.testing.scenario import (
    Scenario,
    completed,
    control,
    failed,
    interrupted,
    sent,
    sleeps,
    steps,
    waits,
)
from tests.unit.projection.worlds import STAGES, TABLES, World, archived, begin, row, rows, session

ANSWERED = (begin(tier="gold"), waits("answer"), sent("answer", 7), completed(writes={"answer": 7}))
FINISHED = (*ANSWERED, completed("side/left"), completed("side/right"))


def many() -> list[Scenario]:
    """Sessions of every kind of standing."""
    return [
        session("fresh", begin()),
        session("paused", begin(), control("pause")),
        session("waiting", begin(tier="gold", region="north"), waits("answer", timeout=60)),
        session("aside", begin(), sent("later", {"x": [1, 2.5, None]}), steps("once", {"a": 1})),
        session("asleep", begin(), sleeps(60)),
        session("branches", *ANSWERED, completed("side/left", {"l": "é\u0000"}), interrupted("side/right")),
        session("finished", *FINISHED, after=5),
        session("stopped", begin(), control("stop")),
        session("failed", begin(tier="silver"), failed()),
        session("retried", begin(), failed(retries=1, delay=5), failed(), control("retry")),
        session("refused", begin(), control("resume"), control("stop"), control("stop")),
    ]


async def test_the_rows_say_what_the_states_say(world: World) -> None:
    scenarios = many()
    await world.mingle(scenarios)
    await world.project()
    for scenario in scenarios:
        head = await world.bus.events.head(scenario.state.session)
        assert head is not None
        scenario.state.seq = head.seq
        assert tuple(row(world.path, scenario.state.session).values()) == row_of(scenario.state)
    assert row(world.path, "waiting")["status"] == "waiting"
    assert json.loads(row(world.path, "waiting")["waiting_for"]) == ["answer"]
    assert json.loads(row(world.path, "finished")["artifacts"]) == {"answer": 7}


@pytest.mark.parametrize("batch", [1, 2, 7])
async def test_the_batches_make_no_difference_to_a_single_byte(world: World, batch: int) -> None:
    await world.mingle(many())
    await world.project()
    await world.project(world.directory / "other.db", batch=batch)
    assert rows(world.directory / "other.db") == rows(world.path)


@pytest.mark.parametrize("remembered", [1, 2_000, 5_000])
async def test_sessions_that_push_each_other_out_of_memory_make_no_difference_to_a_single_byte(
    world: World, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    await world.mingle(many())
    await world.project()
    monkeypatch.setattr("stageflow_es.projection.projector.REMEMBERED", remembered)
    await world.project(world.directory / "other.db", batch=7)
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_restarts_make_no_difference_to_a_single_byte(world: World) -> None:
    scenarios, chance = many(), random.Random(4)
    await world.mingle(scenarios)
    last = await world.feed.last()
    at = 0
    while at < last:
        at = min(at + chance.randrange(1, 6), last)
        async with world.projecting(batch=chance.randrange(1, 4)) as projector:
            await projector.caught_up(at)
    await world.project(world.directory / "other.db")
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_a_restarted_projector_reads_on_where_it_was(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.mingle(many())
    await world.project()
    opened: list[int] = []
    open_feed = world.feed.open

    async def noting(after: int) -> Any:
        opened.append(after)
        return await open_feed(after)

    monkeypatch.setattr(world.feed, "open", noting)
    before = await world.feed.last()
    await world.mingle([session("new", begin())])
    await world.project()
    assert opened == [before]
    assert row(world.path, "new")["status"] == "running"


class Shaky(Store):
    """Fails one in three commits: half of them before anything is written, half after all is."""

    chance = random.Random(2)
    failures = 0

    def commit(self, changes: Sequence[Change], before: Checkpoint, after: Checkpoint) -> Awaitable[None]:
        async def attempt() -> None:
            lot = self.chance.randrange(6)
            if lot == 0:
                Shaky.failures += 1
                raise Unavailable("the disk is full")
            await super(Shaky, self).commit(changes, before, after)
            if lot == 1:
                Shaky.failures += 1
                raise Unavailable("written, and then it died")

        return attempt()


async def test_no_event_is_lost_or_folded_twice_when_commits_fail_before_or_after_writing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageflow_es.projection.projector.FIRST_PAUSE", 0.001)
    await world.mingle(many() + [session(f"s{number}", *FINISHED) for number in range(10)])
    await world.project(store=Shaky(world.path), batch=3)
    assert Shaky.failures > 5
    await world.project(world.directory / "other.db")
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_a_projector_killed_at_any_moment_leaves_a_file_that_the_next_one_goes_on_from(world: World) -> None:
    await world.mingle(many())
    for turns in range(1, 60):
        store = Store(world.path)
        killed = asyncio.create_task(Projector(world.feed, world.bus.definitions, store, batch=2).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        killed.cancel()
        await asyncio.wait([killed])
        await store.close()
    await world.project()
    await world.project(world.directory / "other.db")
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_two_projectors_on_one_file_fold_every_event_once(world: World) -> None:
    await world.mingle(many())
    async with world.projecting(batch=2) as one, world.projecting(batch=3) as other:
        await one.caught_up(await world.feed.last())
        await world.mingle([session("late", *FINISHED)])
        await one.caught_up(await world.feed.last())
        await other.caught_up(await world.feed.last())
    await world.project(world.directory / "other.db")
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_events_are_in_the_tables_when_the_projector_says_so(world: World) -> None:
    async with world.projecting() as projector:
        for number in range(3):
            await world.mingle([session(f"s{number}", begin())])
            await projector.caught_up(await world.feed.last())
            assert row(world.path, f"s{number}")["version"] == 1


# --- histories that cannot be folded ---------------------------------------------------------------------------


def _tampered(data: bytes) -> bytes:
    return data.replace(b'"prev":"', b'"prev":"0', 1)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (_tampered, "prev"),
        (lambda data: b"{not json", "not an event"),
        (lambda data: b"\xff\xfe", "not an event"),
        (lambda data: data.replace(b'"schema":null', b'"schema":' + b"[" * 100_000), "cannot be folded"),
        (lambda data: data.replace(b'"session":"poor"', b'"session":"other"'), "belongs to session"),
        (lambda data: data.replace(b'"type":"waiting_for_input"', b'"type":"of_tomorrow"'), "not an event"),
        (lambda data: data.replace(b'"scope":""', b'"scope":"nowhere"'), "cannot be folded"),
    ],
)
async def test_a_broken_history_breaks_its_own_session_only(world: World, broken: Any, said: str) -> None:
    poor = session("poor", *FINISHED[:-1])
    poor.history[1] = broken(poor.history[1])
    others = many()
    await world.mingle([poor, *others])
    await world.project(batch=5)
    found = row(world.path, "poor")
    assert (found["status"], found["version"]) == ("broken", 1)
    assert said in json.loads(found["error"])["message"]
    assert rows(world.path, "labels")["labels"].count(("tier", "gold", found["started_at"], "poor", "broken", "orders"))
    for scenario in others:
        assert row(world.path, scenario.state.session)["status"] == scenario.state.status
    await world.project(world.directory / "other.db")
    assert rows(world.directory / "other.db") == rows(world.path)


async def test_a_history_whose_first_event_is_unreadable_has_a_row_that_says_so(world: World) -> None:
    await world.append("poor", b"nonsense")
    await world.append("poor", b"more")
    await world.project()
    assert row(world.path, "poor")["status"] == "broken"
    assert row(world.path, "poor")["version"] == 0


async def test_a_session_whose_definition_is_nowhere_is_broken_and_the_others_are_not(world: World) -> None:
    stranger = Pipeline.from_dict({"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]})
    await world.mingle([session("poor", begin(), pipeline=stranger), *many()])
    await world.project()
    assert row(world.path, "poor")["status"] == "broken"
    assert stranger.digest in row(world.path, "poor")["error"]
    assert row(world.path, "finished")["status"] == "completed"


@pytest.mark.parametrize("stored", [b"nonsense", b"\xff", b"[]", b"{}", b'{"entry":1,"nodes":[{}]}'])
async def test_a_session_whose_definition_is_none_is_broken_and_the_others_are_not(world: World, stored: bytes) -> None:
    digest = await world.bus.definitions.put(stored)
    poor = session("poor", begin())
    await world.append("poor", *(data.replace(STAGES.digest.encode(), digest.encode()) for data in poor.history))
    await world.mingle(many())
    await world.project()
    assert row(world.path, "poor")["status"] == "broken"
    assert row(world.path, "finished")["status"] == "completed"


async def test_a_definition_that_the_bus_does_not_give_is_waited_for_and_that_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageflow_es.projection.projector.DEFINITION_WITHIN", 0.01)
    await world.mingle(many())
    get, silences = world.bus.definitions.get, iter(range(2))

    async def late(digest: str) -> bytes | None:
        for _ in silences:
            await asyncio.Event().wait()
        return await get(digest)

    monkeypatch.setattr(world.bus.definitions, "get", late)
    with capture_logs() as logs:
        await world.project()
    said = [line["problem"] for line in logs if line["event"] == "projection_interrupted"]
    assert said == [f"the definition {STAGES.digest} cannot be read from the bus"] * 2
    assert row(world.path, "finished")["status"] == "completed"


@pytest.mark.parametrize("image", [b"nonsense", b"[]", b'["x"'])
async def test_a_snapshot_that_cannot_be_read_breaks_its_own_session_until_a_rebuild(
    world: World, image: bytes
) -> None:
    poor, other = session("poor", *ANSWERED), session("other", *ANSWERED)
    await world.mingle([poor, other])
    await world.project()
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE snapshots SET state = ? WHERE session = 'poor'", (image,))
    for scenario in (poor, other):
        known = scenario.state.n
        scenario.when(completed("side/left"))
        await world.append(scenario.state.session, *scenario.history[known:])
    await world.project()
    assert row(world.path, "poor")["status"] == "broken"
    assert "stageflow rebuild" in row(world.path, "poor")["error"]
    assert row(world.path, "other")["version"] == other.state.n
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert row(world.path, "poor")["version"] == poor.state.n


# --- archives --------------------------------------------------------------------------------------------------


async def test_an_archived_session_has_the_same_row_whether_its_history_was_seen_or_only_its_last_event(
    world: World,
) -> None:
    done = session("done", *FINISHED)
    stub = archived(
        done, pipeline="orders", labels={"tier": "gold"}, started_at=done.state.started_at, result={"ok": 1}
    )
    await world.mingle([done])
    await world.append("done", stub)
    await world.project(batch=2)
    tables = [table for table in TABLES if table != "counts"]
    whole = rows(world.path, *tables)
    alone = World(world.directory)
    await alone.append("padding", b"x")
    for number in range(done.state.n - 1):
        await alone.append(f"padding{number}", b"x")
    await alone.append("done", stub)
    await alone.project(alone.directory / "other.db")
    other = rows(alone.directory / "other.db", *tables)
    found = {table: [item for item in items if "done" in item] for table, items in other.items()}
    assert found == whole
    assert row(world.path, "done")["status"] == "archived"
    assert json.loads(row(world.path, "done")["result"]) == {"ok": 1}


async def test_an_archive_mends_a_session_whose_middle_was_purged_before_the_projector_saw_it(world: World) -> None:
    done = session("done", *FINISHED)
    await world.append("done", *done.history[:2])
    await world.project()
    await world.append("done", archived(done))
    await world.project()
    assert row(world.path, "done")["status"] == "archived"
    assert row(world.path, "done")["version"] == done.state.n + 1


@pytest.mark.parametrize("batch", [1, 2, 100])
async def test_an_archive_mends_a_session_whatever_else_of_it_could_not_be_folded(world: World, batch: int) -> None:
    done = session("done", *FINISHED)
    begun, _, *rest = done.history
    await world.append("done", begun, *rest, b"nonsense", b"more", archived(done))
    await world.project(batch=batch)
    assert row(world.path, "done")["status"] == "archived"
    assert row(world.path, "done")["version"] == done.state.n + 1


# --- the file and the stream -----------------------------------------------------------------------------------


async def test_a_file_made_from_another_stream_is_refused_with_what_to_do(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.mingle(many())
    await world.project()

    async def another() -> str:
        return "another"

    monkeypatch.setattr(world.feed, "created", another)
    with pytest.raises(OperatorError, match=r"stageflow rebuild.*remove the file"):
        await Projector(world.feed, world.bus.definitions, Store(world.path)).run()


@pytest.mark.parametrize(
    ("trouble", "said"),
    [(LogRecreated("no stream"), "first engine that connects"), (Unanswered("nobody there"), "nobody there")],
)
async def test_a_projector_waits_for_a_bus_that_is_not_there_yet(
    world: World, monkeypatch: pytest.MonkeyPatch, trouble: BusError, said: str
) -> None:
    await world.mingle(many())
    asked = asyncio.Event()

    async def away() -> NoReturn:
        asked.set()
        raise trouble

    with monkeypatch.context() as early:
        early.setattr(world.feed, "created", away)
        async with world.projecting() as projector:
            await asked.wait()
            assert said in (projector.problem or "")
            early.undo()
            await projector.caught_up(await world.feed.last())
            assert projector.problem is None


async def test_a_stream_that_ends_below_the_checkpoint_is_another_one(world: World) -> None:
    await world.mingle(many())
    await world.project()
    shorter = World(world.directory)
    with pytest.raises(OperatorError, match=r"stageflow rebuild.*remove the file"):
        await Projector(shorter.feed, shorter.bus.definitions, Store(world.path)).run()


async def test_a_rebuild_beside_a_running_projector_gives_the_same_rows_and_it_goes_on(world: World) -> None:
    await world.mingle(many())
    async with world.projecting() as projector:
        await projector.caught_up(await world.feed.last())
        before = rows(world.path)
        assert await rebuild(world.path, world.feed, world.bus.definitions) == await world.feed.last()
        assert rows(world.path) == before
        await world.mingle([session("late", *FINISHED)])
        await projector.caught_up(await world.feed.last())
    assert row(world.path, "late")["status"] == "completed"
    assert not (world.directory / "projection.db.rebuild").exists()


async def test_a_session_that_a_rebuild_mended_is_followed_by_a_projector_that_runs_and_had_given_it_up(
    world: World,
) -> None:
    late = Pipeline.from_dict({**json.loads(STAGES.canonical), "metadata": {"stored": "late"}})
    poor = session("poor", *ANSWERED, pipeline=late)
    await world.mingle([poor])
    async with world.projecting() as projector:
        await projector.caught_up(await world.feed.last())
        assert row(world.path, "poor")["status"] == "broken"
        await world.define(late)
        await rebuild(world.path, world.feed, world.bus.definitions)
        known = poor.state.n
        poor.when(completed("side/left"))
        await world.append("poor", *poor.history[known:])
        await projector.caught_up(await world.feed.last())
    assert row(world.path, "poor")["version"] == poor.state.n


async def test_a_snapshot_in_the_table_is_the_state_it_says(world: World) -> None:
    await world.mingle(many())
    await world.project()
    images = {name: msgspec.json.decode(image) for name, _, image in rows(world.path)["snapshots"]}
    assert images["finished"]["head"] == row(world.path, "finished")["head"]
    assert images["waiting"]["digest"] == STAGES.digest


class Noting(Store):
    """Notes how many sessions, and bytes of their snapshots, each commit has."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.sessions: list[int] = []
        self.sizes: list[int] = []

    def commit(self, changes: Sequence[Change], before: Checkpoint, after: Checkpoint) -> Awaitable[None]:
        self.sessions.append(len(changes))
        self.sizes.append(sum(len(change.image or b"") for change in changes))
        return super().commit(changes, before, after)


async def test_batches_are_small_from_the_first_on_while_their_snapshots_are_large_and_grow_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stageflow_es.projection.projector.FIRST", 4, raising=False)
    monkeypatch.setattr("stageflow_es.projection.projector.IMAGES", most := 20_000)
    large = (begin(), waits("answer"), sent("answer", "x"), completed(writes={"answer": "." * 4_000}))
    for scenario in [session(f"large{n}", *large) for n in range(30)] + [session(f"s{n}", begin()) for n in range(100)]:
        await world.append(scenario.state.session, *scenario.history)
    store = Noting(world.path)
    await world.project(store=store, batch=40)
    assert max(store.sizes) <= 1.5 * most
    assert len(rows(world.path)["sessions"]) == 130
    assert len(store.sizes) < 30, "it grew again"


async def test_a_projector_begins_with_few_events_and_comes_to_whole_batches_in_a_few_steps(world: World) -> None:
    for number in range(3_000):
        await world.append(f"s{number}", *session(f"s{number}", begin()).history)
    store = Noting(world.path)
    await world.project(store=store)
    assert store.sessions == [64, 16 * 64, 3_000 - 17 * 64]
