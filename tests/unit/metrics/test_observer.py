"""Reading all sources: each by itself, in time, and once for all who ask."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stageflow_es.doctor.patient import Patient
from stageflow_es.errors import OperatorError
from stageflow_es.metrics import Observer, observer
from stageflow_es.metrics.exposition import Family, exposition, gauge
from tests.strict_metrics import Numbers, numbers


class Nats:
    """A connection that is there or not."""

    is_closed = False
    is_connected = True


class Link:
    def __init__(self) -> None:
        self.client = Nats()


class Bus:
    """A client, as far as an observer looks at it."""

    def __init__(self) -> None:
        self.link = Link()
        self.names = None
        self.closed = False

    async def close(self) -> None:
        self.closed = True


async def _numbers(one: Observer) -> Numbers:
    return numbers(exposition(await one.read(), openly=True))


def _up(found: Numbers) -> dict[str, float]:
    return {key[1]: value for key, value in found.items() if key[0] == "stageflow_up"}


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The sources, to be replaced; each says one number."""

    def saying(name: str) -> Any:
        async def source(patient: Patient) -> list[Family]:
            return [gauge(name, "A number.", 1)]

        return source

    others: dict[str, Any] = {name: saying(name) for name in observer.OTHERS}
    monkeypatch.setattr(observer, "OTHERS", others)
    monkeypatch.setattr(observer, "streams", saying("streams"))
    monkeypatch.setattr(observer, "SHARED_FOR", 0.0)
    return others


async def _open() -> Any:
    return Bus()


async def test_without_a_bus_everything_is_down_and_there_are_no_other_numbers(sources: dict[str, Any]) -> None:
    async def refuse() -> Any:
        raise OperatorError("cannot connect to NATS at nats://host: refused")

    one = Observer(refuse)
    found = await _numbers(one)
    assert set(_up(found).values()) == {0}
    assert {key[0] for key in found} == {"stageflow_up", "stageflow_build_info"}
    await one.close()


async def test_a_source_that_fails_or_never_answers_is_down_and_the_others_are_not(
    sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(patient: Patient) -> list[Family]:
        raise ZeroDivisionError

    async def silent(patient: Patient) -> list[Family]:
        await asyncio.Event().wait()
        raise AssertionError

    one = Observer(_open)
    sources["engines"], before = broken, sources["engines"]
    monkeypatch.setattr(observer, "SOURCE_WITHIN", 0.05)
    sources["projection"] = silent
    found = await _numbers(one)
    assert {name for name, up in _up(found).items() if not up} == {"engines", "projection"}
    assert ("stageflow_engines",) not in found
    assert ("stageflow_streams",) in found
    sources["engines"] = before
    assert ("stageflow_engines",) in await _numbers(one)
    await one.close()


async def test_while_the_connection_is_away_nothing_of_before_is_shown(sources: dict[str, Any]) -> None:
    bus = Bus()

    async def open_client() -> Any:
        return bus

    one = Observer(open_client)
    assert set(_up(await _numbers(one)).values()) == {1}
    bus.link.client.is_connected = False
    away = await _numbers(one)
    assert set(_up(away).values()) == {0}
    assert ("stageflow_engines",) not in away
    bus.link.client.is_connected = True
    assert set(_up(await _numbers(one)).values()) == {1}
    await one.close()
    assert bus.closed


async def test_a_connection_that_was_closed_for_good_is_made_anew(sources: dict[str, Any]) -> None:
    made: list[Bus] = []

    async def open_client() -> Any:
        made.append(Bus())
        return made[-1]

    one = Observer(open_client)
    await one.read()
    made[0].link.client.is_closed = True
    assert set(_up(await _numbers(one)).values()) == {1}
    assert (len(made), made[0].closed) == (2, True)
    await one.close()


async def test_those_who_ask_within_a_second_share_one_reading_though_some_of_them_go_away(
    sources: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "SHARED_FOR", 1.0)
    readings, begun, go_on = 0, asyncio.Event(), asyncio.Event()

    async def counting(patient: Patient) -> list[Family]:
        nonlocal readings
        readings += 1
        begun.set()
        await go_on.wait()
        return []

    sources["engines"] = counting
    one = Observer(_open)
    asking = [asyncio.create_task(one.read()) for _ in range(5)]
    await begun.wait()
    asking[0].cancel()
    go_on.set()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(each, list) for each in found[1:])
    await one.read()
    assert readings == 1
    await one.close()
