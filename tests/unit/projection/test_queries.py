"""The endpoints of the query service, without a bus of their own: bytes in, an answer out."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from stageflow_es.pipeline import Pipeline, StageSpec
from stageflow_es.projection import Answer, Health, Queries, Reader, endpoints
from stageflow_es.projection import schema as tables
from stageflow_es.session import snapshot
from stageflow_es.testing.scenario import completed, control, sent, steps, waits
from tests.unit.projection.worlds import STAGES, World, begin, session

ANSWERED = (begin(tier="gold"), waits("answer"), sent("answer", 7), completed(writes={"answer": 7}))


class Asker:
    """Asks the endpoints of a world."""

    def __init__(self, world: World, largest: int = 900_000) -> None:
        self.reader = Reader(world.path)
        queries = Queries(self.reader, world.feed, world.bus.definitions, largest=largest)
        catalog = {"Ask": StageSpec(stage_name="Ask", retries=2)}
        self._endpoints = endpoints(queries, Health(self.reader, world.feed), catalog)

    async def __call__(self, endpoint: str, **fields: Any) -> Any:
        answer = await self.raw(endpoint, json.dumps(fields).encode())
        assert not answer.code, answer.reason
        return json.loads(answer.body)

    async def refused(self, endpoint: str, **fields: Any) -> tuple[int, list[dict[str, str]]]:
        answer = await self.raw(endpoint, json.dumps(fields).encode())
        return answer.code, json.loads(answer.body)

    async def raw(self, endpoint: str, body: bytes) -> Answer:
        return await self._endpoints[endpoint](body)


@pytest.fixture
async def asker(world: World) -> AsyncIterator[Callable[..., Asker]]:
    made: list[Asker] = []

    def make(**options: Any) -> Asker:
        made.append(Asker(world, **options))
        return made[-1]

    yield make
    for one in made:
        await one.reader.close()


async def test_a_session_is_answered_with_exactly_the_fields_promised(world: World, asker: Any) -> None:
    scenario = session("one", begin(tier="gold"), waits("answer"))
    await world.mingle([scenario])
    await world.project()
    assert await asker()("session.get", session="one") == {
        "session": "one",
        "status": "waiting",
        "pipeline": "orders",
        "digest": STAGES.digest,
        "version": 2,
        "nodes": ["ask"],
        "waiting_for": ["answer"],
        "result": None,
        "artifacts": None,
        "error": None,
        "labels": {"tier": "gold"},
        "started_at": scenario.state.started_at,
        "updated_at": scenario.state.updated_at,
        "finished_at": None,
    }


async def test_what_is_unknown_is_not_found(world: World, asker: Any) -> None:
    await world.mingle([session("one", begin())])
    await world.project()
    ask = asker()
    for endpoint in ("session.get", "session.history", "session.state", "session.snapshot"):
        code, problems = await ask.refused(endpoint, session="nobody")
        assert (code, problems) == (404, [{"path": "/session", "message": "there is no session nobody"}])
    assert (await ask.refused("pipeline.get", pipeline="nothing"))[0] == 404
    code, problems = await ask.refused("session.state", session="one", at=5)
    assert (code, problems[0]["path"]) == (404, "/at")


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


async def _long(world: World, events: int) -> list[bytes]:
    moves = [begin(), *(steps(f"step{number}", "x" * 100) for number in range(events - 1))]
    history = session("long", *moves).history
    await world.append("long", *history[: events // 2])
    await world.mingle([session("between", *ANSWERED)])
    await world.append("long", *history[events // 2 :])
    await world.project()
    return history


@pytest.mark.parametrize(("limit", "largest"), [(500, 900_000), (7, 900_000), (500, 3000), (1, 10)])
async def test_a_history_comes_page_by_page_byte_for_byte(world: World, asker: Any, limit: int, largest: int) -> None:
    history = await _long(world, 40)
    ask, found, start = asker(largest=largest), [], 1
    while start is not None:
        answer = await ask.raw(
            "session.history", json.dumps({"session": "long", "from": start, "limit": limit}).encode()
        )
        page = json.loads(answer.body)
        assert len(page["events"]) <= limit
        assert b'{"events":[' + b",".join(history[len(found) : len(found) + len(page["events"])]) in answer.body
        found += page["events"]
        start = page["next"]
    assert found == [json.loads(event) for event in history]


async def test_a_history_is_whole_though_pages_come_from_a_replica_that_lags_behind(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = await _long(world, 12)
    page = world.feed.page

    async def lagging(session: str, after: int, limit: int) -> Any:
        return (await page(session, after, limit))[: after % 3]

    monkeypatch.setattr(world.feed, "page", lagging)
    answer = await asker()("session.history", session="long")
    assert answer == {"events": [json.loads(event) for event in history], "next": None}


async def test_the_end_of_a_history_that_has_ended_already_is_empty(world: World, asker: Any) -> None:
    await _long(world, 10)
    assert await asker()("session.history", session="long", **{"from": 11}) == {"events": [], "next": None}


async def test_a_late_page_of_a_long_history_is_found_without_reading_the_early_ones(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = await _long(world, 3 * tables.MARK_EVERY)
    read: list[int] = []
    page = world.feed.page

    async def counting(session: str, after: int, limit: int) -> Any:
        found = await page(session, after, limit)
        read.append(len(found))
        return found

    monkeypatch.setattr(world.feed, "page", counting)
    start = 2 * tables.MARK_EVERY + 10
    answer = await asker()("session.history", session="long", limit=3, **{"from": start})
    assert answer["events"] == [json.loads(event) for event in history[start - 1 : start + 2]]
    assert sum(read) <= 2 * 500


@pytest.mark.parametrize(
    ("question", "body"), [("session.state", {"at": 2}), ("session.history", {}), ("session.history", {"from": 3})]
)
async def test_early_events_are_asked_for_from_the_streams_first_on_which_costs_the_server_least(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch, question: str, body: dict[str, int]
) -> None:
    await world.mingle([session("before", *ANSWERED)])
    await _long(world, 10)
    asked: list[int] = []
    page = world.feed.page

    async def noting(session: str, after: int, limit: int) -> Any:
        asked.append(after)
        return await page(session, after, limit)

    monkeypatch.setattr(world.feed, "page", noting)
    await asker()(question, session="long", **body)
    assert asked == [0]


async def test_the_state_at_every_version_is_the_one_the_core_had_then(world: World, asker: Any) -> None:
    scenario = session("one", *ANSWERED)
    await world.mingle([scenario])
    await world.project()
    ask = asker()
    assert (await ask("session.state", session="one", at=1))["context"] == {"n": 1}
    waiting = await ask("session.state", session="one", at=2)
    assert (waiting["status"], waiting["waiting_for"]) == ("waiting", ["answer"])
    assert waiting["waits"] == [{"id": waiting["waits"][0]["id"], "type": "answer", "scope": ""}]
    assert waiting["scopes"][0]["run"]["calls"] == ["wait:answer:0"]
    newest = await ask("session.state", session="one")
    assert newest == await ask("session.state", session="one", at=scenario.state.n)
    assert newest["context"] == {"n": 1, "answer": 7}
    assert [scope["path"] for scope in newest["scopes"]] == ["", "side/left", "side/right"]
    assert newest["head"] == scenario.state.head


async def test_a_snapshot_is_what_an_engine_loads(world: World, asker: Any) -> None:
    scenario = session("one", *ANSWERED)
    await world.mingle([scenario])
    await world.project()
    answer = await asker().raw("session.snapshot", b'{"session":"one"}')
    state = snapshot.load(answer.body, STAGES)
    assert (state.n, state.head) == (scenario.state.n, scenario.state.head)
    assert state.seq == (await world.feed.last())


async def test_a_tampered_history_says_so_instead_of_giving_a_state(world: World, asker: Any) -> None:
    scenario = session("one", *ANSWERED)
    scenario.history[2] = scenario.history[2].replace(b'"payload":7', b'"payload":8')
    await world.mingle([scenario])
    await world.project()
    code, problems = await asker().refused("session.state", session="one", at=4)
    assert code == 409
    assert "prev" in problems[0]["message"]


async def test_pipelines_are_found_by_name_version_and_digest(world: World, asker: Any) -> None:
    other = Pipeline.from_dict({"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]})
    await world.define(other)
    await world.bus.definitions.name("orders", other.digest)
    await world.bus.definitions.name("orders", STAGES.digest)
    await world.project()
    ask = asker()
    assert await ask("pipeline.list") == {"pipelines": [{"name": "orders", "digest": STAGES.digest}]}
    newest = await ask("pipeline.get", pipeline="orders")
    assert newest["definition"] == STAGES.raw
    assert newest["versions"] == [other.digest, STAGES.digest]
    assert (await ask("pipeline.get", pipeline=f"orders@{other.digest[:8]}"))["definition"] == other.raw
    assert (await ask("pipeline.get", pipeline=other.digest))["name"] is None


async def test_the_stages_are_listed_with_what_is_known_of_them(world: World, asker: Any) -> None:
    (found,) = (await asker()("stages"))["stages"]
    assert (found["stage_name"], found["retries"]) == ("Ask", 2)


async def test_health_says_how_far_the_tables_are(world: World, asker: Any) -> None:
    ask = asker()
    assert (await ask("health"))["status"] == "failing"
    await world.mingle([session("one", *ANSWERED)])
    await world.project()
    await world.append("poor", b"nonsense")
    await world.project()
    await world.mingle([session("two", begin())])
    report = await ask("health")
    assert (report["status"], report["last"] - report["seq"], report["broken"]) == ("ok", 1, 1)


@pytest.mark.parametrize(
    ("endpoint", "body", "path"),
    [
        ("session.get", b"", ""),
        ("session.get", b"{}", ""),
        ("session.get", b"nonsense", ""),
        ("session.get", b"\xff\xfe\x00", ""),
        ("session.get", b"[" * 50_000, ""),
        ("session.get", b'{"session":' + b"[" * 50_000, "/session"),
        ("session.get", b'{"session":7}', "/session"),
        ("session.get", b'{"session":"a b"}', "/session"),
        ("session.get", b'{"session":"a\\nb"}', "/session"),
        ("session.get", b'{"session":"one\\n"}', "/session"),
        ("session.get", b'{"session":"' + b"x" * 129 + b'"}', "/session"),
        ("session.get", b'{"session":"one","extra":1}', ""),
        ("session.list", b'{"limit":0}', "/limit"),
        ("session.list", b'{"limit":501}', "/limit"),
        ("session.list", b'{"limit":1e9}', "/limit"),
        ("session.list", b'{"status":"dreaming"}', "/status"),
        ("session.list", b'{"label":"tier"}', "/label"),
        ("session.list", b'{"cursor":"%%%"}', "/cursor"),
        ("session.list", '{"cursor":"é"}'.encode(), "/cursor"),
        ("session.list", b'{"cursor":"W10"}', "/cursor"),
        ("session.list", b'{"pipeline":"\' OR 1=1 --","cursor":"WyIiLDFd"}', "/cursor"),
        ("session.history", b'{"session":"one","from":0}', "/from"),
        ("session.state", b'{"session":"one","at":-1}', "/at"),
        ("pipeline.get", b'{"pipeline":""}', "/pipeline"),
        ("health", b'{"verbose":true}', ""),
    ],
)
async def test_a_bad_question_is_answered_by_its_problem_and_where_it_is(
    world: World, asker: Any, endpoint: str, body: bytes, path: str
) -> None:
    await world.mingle([session("one", begin())])
    await world.project()
    answer = await asker().raw(endpoint, body)
    (problem,) = json.loads(answer.body)
    assert (answer.code, problem.get("path", "")) == (400, path)
    assert problem["message"] == answer.reason


async def test_a_question_that_is_a_book_is_not_read(world: World, asker: Any) -> None:
    assert (await asker().raw("session.get", b" " * 70_000)).code == 413


async def test_what_goes_wrong_inside_is_not_told(world: World, asker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def explode() -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(world.bus.definitions, "names", explode)
    answer = await asker().raw("pipeline.list", b"")
    assert answer.code == 500
    assert b"42" not in answer.body


async def test_without_a_projection_the_answer_is_to_try_later(world: World, asker: Any) -> None:
    code, problems = await asker().refused("session.get", session="one")
    assert code == 503
    assert str(world.path) not in problems[0]["message"]


async def test_lists_over_many_sessions_use_an_index(world: World, asker: Any) -> None:
    """No filter, alone or with others, makes SQLite sort, or look at a session that is not wanted."""
    import sqlite3
    from contextlib import closing

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
    assert len(explaining.plans) == 16
    assert not [plan for plan in explaining.plans if any("TEMP B-TREE" in line for line in plan)]
    sought = [plan[0].count("?") for plan in explaining.plans]
    assert sought == explaining.given, "an index does not begin with all that is wanted"
