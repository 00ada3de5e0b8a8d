"""What a user may not look at, on a real server."""

from __future__ import annotations

from pathlib import Path

from stageflow_es.bus.jetstream.connection import connect
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.client.ending import Endings
from stageflow_es.client.hearing import Hearing
from tests.contract.servers import USERS, Configured

NAMES = Names("t")


async def test_who_may_not_look_at_the_stream_is_told_to_follow_and_asks_once(tmp_path: Path) -> None:
    server = Configured(tmp_path, USERS)
    server.start()
    try:
        connection = await connect(server.as_user("client"))
        link = await Link.open(connection, 20)
        endings = Endings(link, NAMES, Hearing(connection, NAMES))
        denials: list[str] = []
        connection.when_denied(lambda denial: denials.append(denial.subject))
        assert [await endings.soon("s"), await endings.soon("s")] == [None, None]
        assert denials == ["$js.api.direct.get.t_events.t.events.s"]
        await link.close()
        await connection.close()
    finally:
        server.stop()
