"""The streams and buckets of a bus: created when they are missing, checked when they are there.

What correctness rests on must be exactly as here; replicas, size limits, placement and compression of an
existing stream are the operator's and are left alone.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.bus.jetstream.direct_get import from_leader
from stageflow_es.bus.jetstream.link import NO_STREAM, ApiError, Link
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.engine.ports import Checkpoint, Unanswered
from stageflow_es.errors import OperatorError

NEEDED = (2, 15, 1)
_NAME_TAKEN = 10058
_SECOND = 1_000_000_000
_SHORTEST_WINDOW = _SECOND // 10
_ENVELOPE = 64 * 1024
"""Room an event needs beyond the command it carries."""
_CLEARANCE = 1_000_000
"""How far above the last command known a recreated command log begins."""

Config = dict[str, Any]


async def prepare(link: Link, settings: BusSettings) -> None:
    """Make sure that server and streams are as this release needs them. Raises OperatorError."""
    _check_server(link)
    names = Names(settings.prefix)
    for config in (_engines(names), _pipelines(names), _events(names, settings), _timers(names, settings)):
        await _ensure(link, config, settings)
    await _ensure(link, _rejections(names, settings), settings)
    commands = _commands(link, names, settings)
    if await _config_of(link, names.commands) is None and (known := await _commands_known(link, names, settings)):
        commands["first_seq"] = known + _CLEARANCE
    await _ensure(link, commands, settings)


def _check_server(link: Link) -> None:
    version = link.client.connected_server_version
    if (version.major, version.minor, version.patch) < NEEDED:
        needed = ".".join(map(str, NEEDED))
        raise OperatorError(
            f"the NATS server is version {version.major}.{version.minor}.{version.patch}; "
            f"at least {needed} is needed, older ones lack what the engine relies on: update the server"
        )


async def _ensure(link: Link, wanted: Config, settings: BusSettings) -> None:
    name = wanted["name"]
    found = await _config_of(link, name)
    if found is None:
        limits = {"storage": "file", "num_replicas": settings.replicas}
        try:
            await link.api(f"STREAM.CREATE.{name}", {**limits, **wanted})
            return
        except ApiError as error:
            if error.number != _NAME_TAKEN:
                raise OperatorError(f"the NATS server refuses to create the stream {name}: {error}") from error
        found = await _config_of(link, name) or {}
    _compare(wanted, found)


async def _config_of(link: Link, name: str) -> Config | None:
    try:
        config: Config = (await link.api(f"STREAM.INFO.{name}"))["config"]
    except ApiError as error:
        if error.number == NO_STREAM:
            return None
        raise OperatorError(f"the NATS server does not let us look at the stream {name}: {error}") from error
    except Unanswered as error:
        raise OperatorError(
            f"JetStream does not answer ({error}): is it enabled on the server, and for this user's account?"
        ) from error
    return config


_OPERATORS = frozenset({"name", "max_bytes", "max_age", "max_msg_size", "first_seq"})


def _compare(wanted: Config, found: Config) -> None:
    name = wanted["name"]
    if wanted.get("subject_transform") != found.get("subject_transform"):
        raise OperatorError(
            f"the stream {name} was created with {_transform(found)}, but the settings ask for "
            f"{_transform(wanted)}. The number of partitions is fixed when the streams are created: set "
            "`partitions` to what the stream has, or use another prefix"
        )
    for field, value in {"storage": "file", **wanted}.items():
        if field not in _OPERATORS and _plain(found.get(field)) != _plain(value):
            raise OperatorError(
                f"the stream {name} exists with {field} = {found.get(field)!r}, but {value!r} is needed. "
                "Another program's stream? Use another prefix, or remove it if nothing in it is needed"
            )
    if wanted.get("max_age") == 0 and found.get("max_age"):
        raise OperatorError(f"the stream {name} has a max age and would lose what is not done yet: take it off")
    limit = wanted.get("max_msg_size", -1)
    if limit > 0 and not 0 < found.get("max_msg_size", -1) <= limit:
        raise OperatorError(
            f"the stream {name} takes messages larger than {limit} bytes, which would not fit into an event: "
            f"set its max_msg_size to at most that, or raise the server's max_payload"
        )


def _plain(value: object) -> object:
    """Lists of subjects without their order; what the server leaves out as what it means."""
    if isinstance(value, list):
        return sorted(value)
    return value or None


def _transform(config: Config) -> str:
    transform = config.get("subject_transform")
    return f"the transform {transform['src']} -> {transform['dest']}" if transform else "no subject transform"


def _commands(link: Link, names: Names, settings: BusSettings) -> Config:
    partition = f"{{{{partition({settings.partitions},2)}}}}"
    config: Config = {
        "name": names.commands,
        "subjects": names.command_subjects(),
        "subject_transform": {
            "src": f"{names.prefix}.command.*.*",
            "dest": f"{names.prefix}.inbox.{partition}.{{{{wildcard(2)}}}}.{{{{wildcard(1)}}}}",
        },
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_bytes": settings.commands_bytes,
        "max_msg_size": link.client.max_payload - _ENVELOPE,
        "duplicate_window": _SHORTEST_WINDOW,
        "allow_atomic": True,
        "allow_rollup_hdrs": False,
        "allow_msg_schedules": False,
        "allow_msg_ttl": False,
    }
    if config["max_msg_size"] < _ENVELOPE:
        raise OperatorError(f"the server's max_payload must be at least {2 * _ENVELOPE} bytes")
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


def _events(names: Names, settings: BusSettings) -> Config:
    return {
        "name": names.events,
        "subjects": [names.append("*")],
        "subject_transform": {"src": names.append("*"), "dest": names.event("{{wildcard(1)}}")},
        "republish": {"src": names.event("*"), "dest": names.event("{{wildcard(1)}}")},
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_bytes": settings.events_bytes,
        "duplicate_window": _SHORTEST_WINDOW,
        "allow_atomic": True,
        "allow_direct": True,
        "deny_delete": True,
    }


def _timers(names: Names, settings: BusSettings) -> Config:
    """Schedules and `discard: new` exclude each other; without limits nothing is ever discarded."""
    fire = names.timer_fire("*")
    due = f"{names.prefix}.timer.due.{{{{partition({settings.partitions},1)}}}}.{{{{wildcard(1)}}}}"
    return {
        "name": names.timers,
        "subjects": [f"{names.prefix}.timer.set.*.*", fire],
        "subject_transform": {"src": fire, "dest": due},
        "retention": "limits",
        "discard": "old",
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
        "duplicate_window": _SHORTEST_WINDOW,
        "allow_msg_schedules": True,
    }


def _rejections(names: Names, settings: BusSettings) -> Config:
    return {
        "name": names.rejections,
        "subjects": [names.every_rejection()],
        "retention": "limits",
        "discard": "old",
        "max_age": settings.rejections_age * _SECOND,
        "duplicate_window": min(120, settings.rejections_age) * _SECOND,
        "allow_direct": True,
    }


def _bucket(bucket: str) -> Config:
    """A key-value bucket as every NATS client knows it."""
    return {
        "name": f"KV_{bucket}",
        "subjects": [f"$KV.{bucket}.>"],
        "retention": "limits",
        "discard": "new",
        "max_age": 0,
        "max_msgs_per_subject": 1,
        "allow_rollup_hdrs": True,
        "allow_direct": True,
        "deny_delete": True,
    }


def _engines(names: Names) -> Config:
    return {**_bucket(names.engines), "allow_msg_ttl": True}


def _pipelines(names: Names) -> Config:
    return _bucket(names.pipelines)
