"""Lists of sessions: what is on them, in which order, page by page, and by which index."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from stageflow_es.testing.scenario import control, waits
from tests.unit.projection.worlds import STAGES, World, begin, session


async def _shop(world: World) -> None:
    """Thirty sessions, one a second; every third waits, every fifth has no pipeline name, half are gold."""
    made = []
    for number in range(30):
        tier = "gold" if number % 2 else "silver"
        moves = [begin(None if number % 5 == 0 else "orders", tier=tier, number=str(number))]
        moves += [waits("answer")] if number % 3 == 0 else []
        made.append(session(f"s{number:02}", *moves, after=number))
    await world.mingle(made)
    await world.project()


def _named(answer: Any) -> list[int]:
    return [int(found["session"][1:]) for found in answer["sessions"]]


@pytest.mark.parametrize("limit", [1, 4, 30, 500])
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, lambda n: True),
        ({"status": "waiting"}, lambda n: n % 3 == 0),
        ({"pipeline": "orders"}, lambda n: n % 5 != 0),
        ({"label": "tier=gold"}, lambda n: n % 2 == 1),
        ({"status": "running", "pipeline": "orders"}, lambda n: n % 3 and n % 5),
        ({"status": "waiting", "label": "tier=gold"}, lambda n: n % 3 == 0 and n % 2),
        ({"pipeline": "orders", "label": "tier=silver"}, lambda n: n % 5 and n % 2 == 0),
        ({"status": "waiting", "pipeline": "orders", "label": "tier=gold"}, lambda n: n % 3 == 0 and n % 5 and n % 2),
        ({"label": "number=7"}, lambda n: n == 7),
        ({"label": "tier="}, lambda n: False),
        ({"status": "failed"}, lambda n: False),
    ],
)
async def test_filters_and_pages_give_each_match_once_the_latest_first(
    world: World, asker: Any, wanted: dict[str, str], expected: Callable[[int], bool], limit: int
) -> None:
    await _shop(world)
    ask, found, cursor = asker(), [], None
    while True:
        page = await ask("session.list", **wanted, limit=limit, **({"cursor": cursor} if cursor else {}))
        assert len(page["sessions"]) <= limit
        found += _named(page)
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == [number for number in reversed(range(30)) if expected(number)]


async def test_sessions_that_begin_meanwhile_do_not_shift_the_pages(world: World, asker: Any) -> None:
    await _shop(world)
    ask = asker()
    first = await ask("session.list", limit=10)
    await world.mingle([session("s99", begin(), after=99)])
    await world.project()
    second = await ask("session.list", limit=10, cursor=first["cursor"])
    assert _named(first) + _named(second) == list(reversed(range(10, 30)))


async def test_a_changed_status_moves_a_session_between_lists(world: World, asker: Any) -> None:
    one = session("one", begin(tier="gold"))
    await world.append("one", *one.history)
    await world.project()
    known = len(one.history)
    await world.append("one", *one.when(control("stop")).history[known:])
    await world.project()
    ask = asker()
    for label in ({}, {"label": "tier=gold"}):
        assert (await ask("session.list", status="running", **label))["sessions"] == []
        assert len((await ask("session.list", status="stopped", **label))["sessions"]) == 1


async def test_a_list_too_large_for_one_message_is_cut_into_more_pages(world: World, asker: Any) -> None:
    await _shop(world)
    ask, found, cursor = asker(largest=2000), [], None
    while True:
        answer = await ask.raw("session.list", json.dumps({"limit": 500, "cursor": cursor}).encode())
        assert len(answer.body) < 2300
        page = json.loads(answer.body)
        found += _named(page)
        cursor = page["cursor"]
        if cursor is None:
            break
    assert found == list(reversed(range(30)))


async def test_lists_over_many_sessions_use_an_index(world: World, asker: Any) -> None:
    """No filter, alone or with others, makes SQLite sort, or look at a session that is not wanted."""
    from stageflow_es.projection import reader
    from stageflow_es.projection.reader import Filter, Place

    await _shop(world)

    class Explaining:
        """`given`: what each question names, `plans`: what SQLite would do."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self._connection = connection
            self.given: list[int] = []
            self.plans: list[list[str]] = []

        def execute(self, question: str, values: Any) -> Any:
            found = self._connection.execute(f"EXPLAIN QUERY PLAN {question}", values)
            self.plans.append([str(line[3]) for line in found])
            self.given.append(len(values) - 1)
            return self._connection.execute(question, values)

    with closing(sqlite3.connect(world.path)) as connection:
        explaining: Any = Explaining(connection)
        for status in (None, "running"):
            for pipeline in (None, "orders"):
                for label in (None, ("tier", "gold")):
                    for after in (None, Place("2030", "s")):
                        wanted = Filter(status=status, pipeline=pipeline, label=label)
                        reader._rows(explaining, wanted, after, 10)
            for after in (None, Place("2030", "s")):
                wanted = Filter(status=status, pipeline="orders", digest="d")
                reader._rows(explaining, wanted, after, 10)
    assert len(explaining.plans) == 20
    assert not [plan for plan in explaining.plans if any("TEMP B-TREE" in line for line in plan)]
    sought = [plan[0].count("?") for plan in explaining.plans]
    assert sought == explaining.given, "an index does not begin with all that is wanted"


async def test_the_sessions_of_one_version_are_listed_by_name_and_digest(world: World, asker: Any) -> None:
    await _shop(world)
    ask, digest = asker(), STAGES.digest
    named = [number for number in reversed(range(30)) if number % 5]
    for version in (digest, digest[:7], ""):
        assert _named(await ask("session.list", pipeline=f"orders@{version}")) == named
    silver = await ask("session.list", pipeline=f"orders@{digest}", status="waiting", label="tier=silver")
    assert _named(silver) == [number for number in named if number % 6 == 0]
    for other in ("orders@0000", f"stock@{digest}"):
        assert not (await ask("session.list", pipeline=other))["sessions"]


async def test_a_digest_with_which_several_versions_begin_is_refused(world: World, asker: Any) -> None:
    await _shop(world)
    with closing(sqlite3.connect(world.path)) as connection, connection:
        connection.execute("UPDATE sessions SET digest = ? WHERE session = 's01'", (STAGES.digest[:-1] + "x",))
    code, problems = await asker().refused("session.list", pipeline=f"orders@{STAGES.digest[:7]}")
    assert (code, problems[0]["path"]) == (400, "/pipeline")
    assert _named(await asker()("session.list", pipeline=f"orders@{STAGES.digest[:-1]}x")) == [1]


async def test_a_version_of_no_name_is_refused(world: World, asker: Any) -> None:
    await _shop(world)
    code, problems = await asker().refused("session.list", pipeline=f"@{STAGES.digest}")
    assert (code, problems[0]["path"]) == (400, "/pipeline")


async def test_labels_that_no_start_could_have_now_are_kept_where_a_history_has_them(world: World, asker: Any) -> None:
    await world.mingle([session("old", begin(**{"": "nameless", "a=b": "c", "tier": "gold"}))])
    await world.project()
    (found,) = (await asker()("session.list", label="tier=gold"))["sessions"]
    assert found["labels"] == {"": "nameless", "a=b": "c", "tier": "gold"}
