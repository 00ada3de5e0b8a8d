"""Opening a bus on a JetStream that cannot answer just now, such as that of a cluster which elects a leader."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from stageflow_es.bus.jetstream import streams
from stageflow_es.bus.jetstream.link import NO_MESSAGE, NO_STREAM, Absent, ApiError, Denied
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import OperatorError

LEADERLESS = ApiError(503, 10008, "JetStream system temporarily unavailable")
SILENCE = Unanswered("no answer to $JS.API")


class Servers:
    """Stands in for a link to servers that keep streams. Each call takes the next of the `troubles`, if it is one."""

    def __init__(self, troubles: Iterable[Exception | None] = ()) -> None:
        version = SimpleNamespace(major=2, minor=15, patch=1)
        self.client = SimpleNamespace(connected_server_version=version, max_payload=1 << 20)
        self.streams: dict[str, Any] = {}
        self.asked = 0
        self._troubles = iter(troubles)

    async def api(self, path: str, body: Any = None) -> dict[str, Any]:
        self.asked += 1
        trouble = next(self._troubles, None)
        if trouble is not None:
            raise trouble
        verb, name = path.rsplit(".", 1)
        if verb == "STREAM.CREATE":
            self.streams[name] = body
        elif verb == "STREAM.MSG.GET":
            raise ApiError(404, NO_MESSAGE, "no message found")
        elif name not in self.streams:
            raise ApiError(404, NO_STREAM, "stream not found")
        return {"config": self.streams[name], "state": {"last_seq": 0}}


async def open_on(servers: Any, **settings: Any) -> None:
    await streams.prepare(servers, BusSettings(partitions=2, **settings))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PAUSE", 0)
    structlog.reset_defaults()


@pytest.mark.parametrize("trouble", [LEADERLESS, SILENCE], ids=["leaderless", "silent"])
@pytest.mark.parametrize("call", range(16))
async def test_whichever_question_meets_an_election_is_asked_again(trouble: Exception, call: int) -> None:
    whole, servers = Servers(), Servers(trouble if number == call else None for number in range(call + 1))
    await open_on(whole)
    with capture_logs() as logged:
        await open_on(servers)
    assert servers.streams == whole.streams
    assert [entry["event"] for entry in logged] == ["waiting_for_jetstream"]
    assert whole.asked == 16


async def test_it_is_said_what_is_waited_for_and_for_how_long() -> None:
    with capture_logs() as logged:
        await open_on(Servers([SILENCE, LEADERLESS, LEADERLESS]))
    (said,) = logged
    assert "a majority of the servers has to be there and elect a leader" in said["problem"]
    assert said["gives_up_in"] == 30


async def test_who_waits_long_enough_is_told_why() -> None:
    servers = Servers(iter(lambda: LEADERLESS, None))
    with (
        capture_logs(),
        pytest.raises(OperatorError, match=r"not answer for the stream .*temporarily unavailable"),
    ):
        await asyncio.wait_for(open_on(servers, ready_timeout=0.01), 20)
    assert servers.asked > 1


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (Absent("nothing answers"), "is it enabled"),
        (Denied("may not publish"), "may not publish"),
        (ApiError(503, 10039, "JetStream not enabled for account"), "not enabled for account"),
        (ApiError(400, 10003, "bad request"), "does not let us look"),
    ],
)
async def test_what_waiting_does_not_mend_is_said_at_once(trouble: Exception, said: str) -> None:
    servers = Servers([trouble])
    with pytest.raises(OperatorError, match=said):
        await open_on(servers)
    assert servers.asked == 1


async def test_a_stream_that_the_servers_refuse_to_make_is_said_at_once() -> None:
    servers = Servers([None, ApiError(500, 10074, "replicas > 1 not supported in non-clustered mode")])
    with pytest.raises(OperatorError, match="refuses to create the stream"):
        await open_on(servers)
