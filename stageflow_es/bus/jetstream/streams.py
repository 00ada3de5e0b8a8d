"""The streams and buckets of a bus: created when they are missing, checked when they are there. What they have to be
is in `layout`.
"""

from __future__ import annotations

import msgspec

from stageflow_es.bus.jetstream.connection import Connection
from stageflow_es.bus.jetstream.direct_get import from_leader
from stageflow_es.bus.jetstream.layout import ENVELOPE, Config, faults, wanted
from stageflow_es.bus.jetstream.link import NO_STREAM, ApiError, Denied, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import Checkpoint, Unanswered
from stageflow_es.errors import OperatorError

NEEDED = (2, 15, 1)
_NAME_TAKEN = 10058
_CLEARANCE = 1_000_000
"""How far above the last command known a recreated command log begins."""


async def prepare(link: Link, settings: BusSettings) -> None:
    """Make sure that server and streams are as this release needs them. Raises OperatorError."""
    check_server(link.client)
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
            await link.api(f"STREAM.CREATE.{name}", {**limits, **wanted})
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
        config: Config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    except ApiError as error:
        if error.number == NO_STREAM:
            return None
        if error.passing:
            raise OperatorError(f"JetStream does not answer for the stream {name} just now: {error}") from error
        raise OperatorError(f"the NATS server does not let us look at the stream {name}: {error}") from error
    except Denied as error:
        raise OperatorError(str(error)) from error
    except Unanswered as error:
        raise OperatorError(
            f"JetStream does not answer ({error}): is it enabled on the server, and for this user's account?"
        ) from error
    return config


async def _commands_known(link: Link, names: Names, settings: BusSettings) -> int:
    """The highest command sequence an earlier command log is known to have reached, by what is left of it."""
    floors = [0]
    for partition in range(settings.partitions):
        key = {"last_by_subj": f"$KV.{names.engines}.checkpoint.{partition}"}
        if stored := await from_leader(link, f"KV_{names.engines}", key):
            floors.append(msgspec.json.decode(stored.data, type=Checkpoint).commands)
    events = await link.api(f"STREAM.INFO.{names.events}")
    return max(*floors, int(events["state"]["last_seq"]))
