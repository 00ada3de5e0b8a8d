"""What only the server's monitoring port or its system account shows: when it syncs, and how full its disk is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from stageflow_es.bus.jetstream.connection import Connection, connect
from stageflow_es.bus.jetstream.incoming import Incoming
from stageflow_es.bus.jetstream.link import Link
from stageflow_es.client.address import resolve
from stageflow_es.engine.ports import BusError
from stageflow_es.errors import OperatorError

WITHIN = 2.0
GATHER_FOR = 1.0
"""Seconds that servers of a cluster have to answer in."""
_LARGEST = 1 << 20
_HERE = ("127.0.0.1", "localhost", "::1")
_USUAL_PORT = 8222


class Storage(msgspec.Struct, frozen=True):
    """The `config` of a server's JetStream. `sync_interval` is nanoseconds."""

    max_storage: int = 0
    sync_interval: int = 0
    sync_always: bool = False


class Inside(msgspec.Struct, frozen=True):
    """What one server says of itself. `config` None: it has no JetStream."""

    server_id: str
    name: str = ""
    version: str = ""
    storage: int = 0
    config: Storage | None = None


class Insight(msgspec.Struct, frozen=True):
    """`servers` that could be looked into, and `problem`: why not, where somebody asked for it."""

    servers: Sequence[Inside] = ()
    problem: str = ""


class _About(msgspec.Struct):
    server_name: str = ""
    version: str = ""


class _Server(msgspec.Struct):
    id: str
    name: str = ""
    ver: str = ""


class _Answer(msgspec.Struct):
    server: _Server
    data: Inside


async def look_inside(connection: Connection, *, monitor: str | None = None, system: str | None = None) -> Insight:
    """Ask the monitoring port at the URL `monitor` and the system account (`system`: a URL with its user, or a context
    of the `nats` command). Without either, the usual port is tried where the server is on this machine. Raises
    OperatorError for a context that is not there."""
    if system is not None:
        return await _ask_system(system)
    if monitor is not None:
        return await _ask_monitor(monitor)
    connected = connection.connected_url
    if connected is None or connected.hostname not in _HERE:
        return Insight()
    found = await _ask_monitor(f"http://127.0.0.1:{_USUAL_PORT}")
    own = connection.server_info.get("server_id")
    return Insight([server for server in found.servers if server.server_id == own])


async def _ask_monitor(url: str) -> Insight:
    if urlsplit(url).scheme not in ("http", "https"):
        return Insight(problem=f"{url} is no http URL of a monitoring port")
    try:
        async with asyncio.timeout(WITHIN):
            inside = msgspec.json.decode(await _get(url, "/jsz?config=true"), type=Inside)
            about = msgspec.json.decode(await _get(url, "/varz"), type=_About)
    except TimeoutError:
        return Insight(problem=f"the monitoring port {url} does not answer in time")
    except (OSError, ValueError) as problem:
        return Insight(problem=f"the monitoring port {url} cannot be asked: {problem}")
    return Insight((msgspec.structs.replace(inside, name=about.server_name, version=about.version),))


async def _get(url: str, path: str) -> bytes:
    """The body of an answer. Cancelled, it leaves nothing behind, which a library in a thread would."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if secure else 80), ssl=secure or None
    )
    try:
        writer.write(f"GET {parts.path.rstrip('/')}{path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
        answer = b""
        while part := await reader.read(_LARGEST):
            answer += part
            if len(answer) > _LARGEST:
                raise ValueError("its answer is too long")
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if status[1:2] != [b"200"]:
        raise ValueError(f"it answers {b' '.join(status).decode('utf-8', 'replace')[:80]!r}")
    return body


async def _ask_system(target: str) -> Insight:
    address = resolve(target) if "://" in target else resolve(context=target)
    try:
        connection = await connect(address.servers, within=WITHIN, **address.options)
    except OperatorError as problem:
        return Insight(problem=f"the system account cannot be asked: {problem}")
    try:
        link = await Link.open(connection, WITHIN)
        return await _gather(link)
    except BusError as problem:
        return Insight(problem=f"the system account cannot be asked: {problem}")
    finally:
        await connection.close()


async def _gather(link: Link) -> Insight:
    """The answers of every server of the cluster."""
    answers: list[Incoming] = []
    with link.expecting(answers.append) as reply:
        await link.publish("$SYS.REQ.SERVER.PING.JSZ", json.dumps({"config": True}).encode(), reply)
        await asyncio.sleep(GATHER_FOR)
    servers = []
    for answer in answers:
        with suppress(msgspec.MsgspecError):
            found = msgspec.json.decode(answer.data, type=_Answer)
            known = {"name": found.server.name, "version": found.server.ver}
            servers.append(msgspec.structs.replace(found.data, **known))
    if not servers:
        return Insight(problem="no server answers in the system account: is its user one of it?")
    return Insight(servers)
