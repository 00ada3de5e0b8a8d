"""The streams and buckets of a bus: created when they are missing, checked when they are there. What they have to be
is in `layout`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.connection import Connection
from stageflow_es.bus.jetstream.direct_get import from_leader
from stageflow_es.bus.jetstream.layout import ENVELOPE, Config, faults, wanted
from stageflow_es.bus.jetstream.link import NO_STREAM, NOT_ENABLED, Absent, ApiError, Denied, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import Checkpoint, Unanswered
from stageflow_es.errors import OperatorError
from stageflow_es.log import logger

log = logger(__name__)

NEEDED = (2, 15, 1)
PAUSE = 0.2
SAID_EVERY = 5.0
"""Seconds between two warnings that JetStream is waited for."""
_LEADERLESS = frozenset({10004, 10008, 10009})
"""What the servers of a cluster answer that has no leader, or a new one that does not know everything yet."""
_NAME_TAKEN = 10058
_CLEARANCE = 1_000_000
"""How far above the last command known a recreated command log begins."""


class NotNow(OperatorError):
    """JetStream does not answer, or cannot just now. It may in a moment, in a cluster that elects a leader."""


async def prepare(link: Link, settings: BusSettings) -> None:
    """Make sure that server and streams are as this release needs them. A cluster that has no leader just now is given
    `settings.ready_timeout` to elect one. Raises OperatorError."""
    check_server(link.client)
    loop = asyncio.get_running_loop()
    began = loop.time()
    said = began - SAID_EVERY
    while True:
        try:
            return await _prepare(link, settings)
        except NotNow as problem:
            now = loop.time()
            if now - began >= settings.ready_timeout:
                raise
            if now - said >= SAID_EVERY:
                said = now
                left = round(began + settings.ready_timeout - now)
                log.warning("waiting_for_jetstream", problem=str(problem), gives_up_in=left)
        await asyncio.sleep(PAUSE)


async def _prepare(link: Link, settings: BusSettings) -> None:
    names = Names(settings.prefix)
    *others, commands = wanted(names, settings, link.client.max_payload)
    for config in others:
        await _ensure(link, config, settings)
    if await config_of(link, names.commands) is None and (known := await _commands_known(link, names, settings)):
        commands["first_seq"] = known + _CLEARANCE
    await _ensure(link, commands, settings)


def check_server(connection: Connection) -> None:
    """Raise OperatorError for a connected server that this release does not run on."""
    if problem := too_old(version_of(connection)):
        raise OperatorError(problem)
    if connection.max_payload < 2 * ENVELOPE:
        raise OperatorError(f"the server's max_payload must be at least {2 * ENVELOPE} bytes")


def version_of(connection: Connection) -> tuple[int, int, int]:
    version = connection.connected_server_version
    return version.major, version.minor, version.patch


def too_old(version: tuple[int, int, int]) -> str | None:
    """What to say of a server of this version; None: it will do."""
    if version >= NEEDED:
        return None
    found, needed = (".".join(map(str, numbers)) for numbers in (version, NEEDED))
    return (
        f"the NATS server is version {found}; at least {needed} is needed, older ones lack what the engine relies on: "
        "update the server"
    )


async def _ensure(link: Link, wanted: Config, settings: BusSettings) -> None:
    name = wanted["name"]
    found = await config_of(link, name)
    if found is None:
        limits = {"storage": "file", "num_replicas": settings.replicas}
        try:
            await _ask(link, name, f"STREAM.CREATE.{name}", {**limits, **wanted})
            return
        except ApiError as error:
            if error.number != _NAME_TAKEN:
                raise OperatorError(f"the NATS server refuses to create the stream {name}: {error}") from error
        found = await config_of(link, name) or {}
    if wrong := faults(wanted, found):
        raise OperatorError("; ".join(fault.message for fault in wrong))


async def config_of(link: Link, name: str) -> Config | None:
    """How a stream is configured; None: it is not there. Raises OperatorError."""
    try:
        config: Config = (await _ask(link, name, f"STREAM.INFO.{name}"))["config"]
    except ApiError as error:
        if error.number == NO_STREAM:
            return None
        if error.passing and error.number not in NOT_ENABLED:
            raise _not_now(name, error) from error
        raise OperatorError(f"the NATS server does not let us look at the stream {name}: {error}") from error
    return config


async def _ask(link: Link, stream: str, path: str, body: object = None) -> dict[str, Any]:
    """Ask JetStream about a stream. Raises ApiError for what it refuses, NotNow, OperatorError."""
    try:
        return await link.api(path, body)
    except ApiError as error:
        if error.number in _LEADERLESS:
            raise _not_now(stream, error) from error
        raise
    except Denied as error:
        raise OperatorError(str(error)) from error
    except Absent as error:
        raise OperatorError(
            f"JetStream does not answer ({error}): is it enabled on the server, and for this user's account?"
        ) from error
    except Unanswered as error:
        raise _not_now(stream, error) from error


def _not_now(stream: str, error: Exception) -> NotNow:
    return NotNow(
        f"JetStream does not answer for the stream {stream} just now ({error}): in a cluster a majority of the servers "
        "has to be there and elect a leader"
    )


async def _commands_known(link: Link, names: Names, settings: BusSettings) -> int:
    """The highest command sequence an earlier command log is known to have reached, by what is left of it."""
    floors = [0]
    for partition in range(settings.partitions):
        key = {"last_by_subj": f"$KV.{names.engines}.checkpoint.{partition}"}
        try:
            stored = await from_leader(link, f"KV_{names.engines}", key)
        except Unanswered as error:
            raise _not_now(f"KV_{names.engines}", error) from error
        if stored:
            floors.append(msgspec.json.decode(stored.data, type=Checkpoint).commands)
    events = await _ask(link, names.events, f"STREAM.INFO.{names.events}")
    return max(*floors, int(events["state"]["last_seq"]))
