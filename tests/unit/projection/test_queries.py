"""The endpoints of the query service, without a bus of their own: bytes in, an answer out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stageflow_es.pipeline import Pipeline
from stageflow_es.projection import health
from stageflow_es.testing.scenario import waits
from tests.unit.projection.asking import Asker
from tests.unit.projection.worlds import ANSWERED, STAGES, World, begin, session


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


async def test_pipelines_are_found_by_name_version_and_digest(world: World, asker: Any) -> None:
    other = Pipeline.from_dict({"entry": "end", "nodes": [{"id": "end", "type": "terminal"}]})
    await world.define(other)
    await world.bus.definitions.name("orders", other.digest)
    await world.bus.definitions.name("orders", STAGES.digest)
    await world.project()
    ask = asker()
    assert await ask("pipeline.list") == {"pipelines": [{"name": "orders", "digest": STAGES.digest}]}
    newest = await ask("pipeline.get", pipeline="orders")
    assert (newest["definition"], newest["digest"]) == (STAGES.raw, STAGES.digest)
    assert newest["versions"] == [other.digest, STAGES.digest]
    assert (await ask("pipeline.get", pipeline=f"orders@{other.digest[:8]}"))["definition"] == other.raw
    bare = await ask("pipeline.get", pipeline=other.digest)
    assert (bare["name"], bare["digest"]) == (None, other.digest)


async def test_the_stages_are_listed_with_what_is_known_of_them(world: World, asker: Any) -> None:
    (found,) = (await asker()("stages"))["stages"]
    assert (found["stage_name"], found["retries"]) == ("Ask", 2)


async def test_health_says_how_far_the_tables_are_and_when_that_is_too_far(
    world: World, asker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = asker()
    assert (await ask("health"))["status"] == "failing"
    await world.mingle([session("one", *ANSWERED)])
    await world.project()
    await world.append("poor", b"nonsense")
    await world.project()
    await world.mingle([session("two", begin())])
    report = await ask("health")
    assert (report["status"], report["last"] - report["seq"], report["broken"]) == ("ok", 1, 1)
    monkeypatch.setattr(health, "BEHIND", 0)
    assert (await ask("health"))["status"] == "behind"


async def test_health_says_when_the_tables_are_of_another_stream(world: World) -> None:
    await world.mingle([session("one", *ANSWERED)])
    await world.project()
    ask = Asker(World(world.directory))
    report = await ask("health")
    await ask.reader.close()
    assert (report["status"], report["last"]) == ("failing", 0)
    assert "rebuild" in report["problem"]


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
