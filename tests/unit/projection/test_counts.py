"""How many sessions have which status: the table of counts is what counting the sessions' rows gives."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stageflow_es.projection import Store, rebuild
from stageflow_es.testing.scenario import Move, Scenario, completed, control, failed, sent, waits
from tests.unit.projection.worlds import World, archived, begin, session

COURSES: dict[str, tuple[Move, ...]] = {
    "fresh": (),
    "paused": (control("pause"),),
    "waiting": (waits("answer"),),
    "resumed": (control("pause"), control("resume")),
    "completed": (
        waits("answer"),
        sent("answer", 7),
        completed(writes={"answer": 7}),
        completed("side/left"),
        completed("side/right"),
    ),
    "stopped": (waits("answer"), control("stop")),
    "failed": (failed(),),
    "retried": (failed(), control("retry")),
}
STATUSES = {"running", "paused", "waiting", "completed", "stopped", "failed", "archived", "broken"}
ENDINGS = ("as it is", "archived", "archived without a word", "broken", "broken and archived")


def _counted(path: Path) -> list[tuple[str, str, int]]:
    question = "SELECT ifnull(pipeline, ''), status, count(*) FROM sessions GROUP BY 1, 2 ORDER BY 1, 2"
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(question).fetchall()


def _kept(path: Path) -> list[tuple[str, str, int]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM counts ORDER BY 1, 2").fetchall()


def _end(scenario: Scenario, ending: str) -> list[bytes]:
    """A history with what comes after it."""
    history = list(scenario.history)
    if ending.startswith("broken"):
        history.append(b"this is no event")
    if "archived" in ending:
        summary = {"pipeline": scenario.state.pipeline_name} if ending != "archived without a word" else {}
        history.append(archived(scenario, **summary))
    return history


async def _check(world: World, seed: int) -> None:
    """Every course with every ending, in any order, followed by one projector after another."""
    chance = random.Random(seed)
    left = [
        (name, _end(session(name, begin(chance.choice([None, "orders", "refunds"])), *moves), ending))
        for course, moves in COURSES.items()
        for ending in ENDINGS
        for name in [f"{course}-{ending}".replace(" ", "-")]
    ]
    while left:
        for _ in range(chance.randrange(1, 80)):
            if left:
                name, events = chance.choice(left)
                await world.append(name, events.pop(0))
                left = [one for one in left if one[1]]
        await world.project(batch=chance.randrange(1, 30))
        assert _kept(world.path) == _counted(world.path)
    before = _kept(world.path)
    assert {status for _, status, _ in before} == STATUSES
    await rebuild(world.path, world.feed, world.bus.definitions)
    assert _kept(world.path) == _counted(world.path) == before


@pytest.mark.parametrize("seed", range(3))
async def test_the_counts_are_those_of_the_rows_after_any_histories_restarts_and_a_rebuild(
    world: World, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("stageflow_es.projection.gathering.IDLE", 0.01)
    await _check(world, seed)


async def test_a_session_whose_definition_is_missing_is_counted_as_broken(tmp_path: Path) -> None:
    world = World(tmp_path)
    one = session("one", begin(), control("stop"))
    await world.append("one", *one.history)
    await world.project()
    assert _kept(world.path) == _counted(world.path) == [("", "broken", 1)]


async def _shop(world: World) -> None:
    made = [session(f"w{number}", begin("orders"), waits("answer")) for number in range(3)]
    made += [session(f"f{number}", begin("orders"), failed()) for number in range(2)]
    made += [session(f"n{number}", begin(None)) for number in range(2)]
    made += [session(f"r{number}", begin(f"rare-{number}"), control("stop")) for number in range(3)]
    await world.mingle(made)
    await world.project()


async def test_sessions_are_counted_by_status_and_by_the_pipelines_that_have_most(world: World, asker: Any) -> None:
    await _shop(world)
    assert await asker()("session.count", limit=3) == {
        "seq": await world.feed.last(),
        "sessions": {"waiting": 3, "failed": 2, "running": 2, "stopped": 3},
        "pipelines": [
            {"pipeline": "orders", "sessions": {"waiting": 3, "failed": 2}},
            {"pipeline": None, "sessions": {"running": 2}},
            {"pipeline": "rare-0", "sessions": {"stopped": 1}},
        ],
        "more": 2,
    }


async def test_the_sessions_of_one_pipeline_are_counted_by_themselves(world: World, asker: Any) -> None:
    await _shop(world)
    only = {"waiting": 3, "failed": 2}
    found = await asker()("session.count", pipeline="orders")
    assert (found["sessions"], found["pipelines"], found["more"]) == (
        only,
        [{"pipeline": "orders", "sessions": only}],
        0,
    )
    assert (await asker().refused("session.count", pipeline="orders@0123"))[0] == 400
    nothing = await asker()("session.count", pipeline="no-such-pipeline")
    assert (nothing["sessions"], nothing["pipelines"], nothing["more"]) == ({}, [], 0)


async def test_with_no_sessions_nothing_is_counted(world: World, asker: Any) -> None:
    store = Store(world.path)
    await store.checkpoint()
    await store.close()
    assert await asker()("session.count") == {"seq": 0, "sessions": {}, "pipelines": [], "more": 0}
