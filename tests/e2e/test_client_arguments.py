"""What nobody could take is refused where it is said, in one line that says what was expected: nothing is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import nan
from typing import Any

import pytest

from stageflow_es.client import Client, Selection, connect
from stageflow_es.client.queries import QueryRefused
from stageflow_es.errors import CommandRejected, OperatorError

from .conftest import ASK

pytestmark = pytest.mark.usefixtures("engine")

Call = Callable[[Client], Awaitable[Any]]


async def all_of(found: Any) -> list[Any]:
    return [one async for one in found]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.definition(5), "/pipeline: .*str"),
        (lambda c: c.definition(b"order"), "/pipeline: .*str"),
        (lambda c: c.session(5).history(), "session id 5 is not"),
        (lambda c: c.session("s").history("a"), "/from: .*numbered from 1"),
        (lambda c: c.session("s").history(0), "/from: .*numbered from 1"),
        (lambda c: c.session("s").history(10**40), "/from: .*numbered from 1"),
        (lambda c: all_of(c.session("s").events(nan)), "/from: .*numbered from 1"),
        (lambda c: c.session("s").state(at="9"), "/at: .*int"),
        (lambda c: c.session("s").state(at=-1), "/at: .*>= 1"),
        (lambda c: all_of(c.sessions(status=object())), "/status: .*str"),
        (lambda c: all_of(c.sessions(status="done")), "/status: .*'done'"),
        (lambda c: all_of(c.sessions(page=0)), "/limit: .*>= 1"),
        (lambda c: all_of(c.sessions(label="\udcff")), "/label|not JSON"),
        (lambda c: all_of(c.select({"status": "failed"})), "selected by a Selection"),
        (lambda c: all_of(c.select(Selection(older_than="30d"))), "/older_than: .*duration"),
        (lambda c: all_of(c.bulk("stop", Selection(labels=None))), "/labels: .*object"),
    ],
)
async def test_a_question_that_is_none_is_not_asked(client: Client, call: Call, said: str) -> None:
    with pytest.raises(QueryRefused, match=said):
        await call(client)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.start(ASK, payload=[1]), "/payload: "),
        (lambda c: c.start(ASK, session=""), "session id"),
        (lambda c: c.start(ASK, id=""), "not empty"),
        (lambda c: all_of(c.bulk("skip", [])), "/action: 'skip' is nothing many sessions take"),
        (lambda c: all_of(c.bulk(None, Selection())), "/action: "),
    ],
)
async def test_a_command_that_is_none_says_which_part_is_wrong(client: Client, call: Call, said: str) -> None:
    with pytest.raises(CommandRejected, match=said):
        await call(client)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda c: c.start_many([{"pipeline": ASK}], at_once=0), "at_once says"),
        (lambda c: c.start_many([{"pipeline": ASK}, ASK["entry"]]), "start_many takes a list"),
        (lambda c: all_of(c.bulk("stop", [], at_once=0)), "at_once says"),
        (lambda c: all_of(c.bulk("stop", ["order-1"])), "many sessions are given as a Selection"),
        (lambda c: c.session("s").result(timeout="5"), "timeout is a number of seconds"),
        (lambda c: c.session("s").result(timeout=nan), "timeout is a number of seconds"),
    ],
)
async def test_what_is_part_of_no_message_is_looked_at_too(client: Client, call: Call, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        await call(client)


@pytest.mark.parametrize("given", [{"url": 5}, {"context": b"shop"}, {"prefix": 5}, {"context": "a\0b"}])
async def test_where_nothing_can_be_is_no_address(given: dict[str, Any]) -> None:
    with pytest.raises(OperatorError, match=r"texts|prefix|cannot be read"):
        await connect(**given)


@pytest.mark.parametrize("given", [{"timeout": "5"}, {"timeout": None}, {"connect_within": nan}])
def test_a_client_waits_for_a_number_of_seconds(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is a number of seconds"):
        connect(**given)
