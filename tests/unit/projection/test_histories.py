"""What was: a session's history page by page, its state as of an event, and its snapshot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stageflow_es.projection import queries
from stageflow_es.projection import schema as tables
from stageflow_es.session import snapshot
from stageflow_es.testing.scenario import steps
from tests.unit.projection.worlds import ANSWERED, STAGES, World, archived, begin, session


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


@pytest.mark.parametrize(
    ("question", "body", "events"),
    [
        ("session.state", {"at": 5}, 5),
        ("session.state", {"at": 700}, 700),
        ("session.history", {"limit": 3}, 4),
        ("session.history", {"limit": 3, "from": 20}, 23),
        ("session.history", {"limit": 3, "from": 2 * tables.MARK_EVERY + 10}, 13),
    ],
)
async def test_no_more_of_a_long_history_is_read_than_is_asked_for_from_the_mark_before_it_on(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch, question: str, body: dict[str, int], events: int
) -> None:
    history = await _long(world, 3 * tables.MARK_EVERY)
    read: list[int] = []
    page = world.feed.page

    async def counting(session: str, after: int, limit: int) -> Any:
        found = await page(session, after, limit)
        read.append(len(found))
        return found

    monkeypatch.setattr(world.feed, "page", counting)
    answer = await asker()(question, session="long", **body)
    assert sum(read) == events
    if "limit" in body:
        start = body.get("from", 1)
        assert answer["events"] == [json.loads(event) for event in history[start - 1 : start + 2]]
        assert answer["next"] == start + 3
    else:
        assert answer["version"] == body["at"]


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


# --- what is archived while it is read ---


async def _archive(world: World) -> None:
    """Archive the session `one`, of which the five events of `ANSWERED` are stored."""
    stone = archived(session("one", *ANSWERED))
    await world.append("one", stone)
    await world.bus.events.forget("one", await world.feed.last())


_GONE = (410, [{"path": "/session", "message": "session one is archived: events 1 to 5 are in its export"}])


async def test_who_goes_on_with_a_history_that_was_archived_after_a_page_is_told_so(world: World, asker: Any) -> None:
    await world.mingle([session("one", *ANSWERED)])
    await world.project()
    ask = asker()
    page = await ask("session.history", session="one", limit=2)
    await _archive(world)
    assert await ask.refused("session.history", session="one", **{"from": page["next"]}) == _GONE
    for start in (1, 6):
        answer = await ask("session.history", session="one", **{"from": start})
        assert [(event["n"], event["type"]) for event in answer["events"]] == [(6, "session_archived")]


@pytest.mark.parametrize(("question", "body"), [("session.history", {}), ("session.state", {"at": 4})])
async def test_a_history_that_is_archived_while_an_answer_is_made_of_it_is_not_told_by_half(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch, question: str, body: dict[str, int]
) -> None:
    await world.mingle([session("one", *ANSWERED)])
    await world.project()
    page = world.feed.page

    async def archived_behind(session: str, after: int, limit: int) -> Any:
        found = await page(session, after, limit)
        if not after:
            await _archive(world)
        return found

    monkeypatch.setattr(queries, "PAGE", 2)
    monkeypatch.setattr(world.feed, "page", archived_behind)
    assert await asker().refused(question, session="one", **body) == _GONE
