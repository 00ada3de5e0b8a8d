"""What the streams and buckets of a bus have to be, and what is wrong with one that is otherwise. Pure.

What correctness rests on must be exactly as here; replicas, placement, compression, and limits that refuse the new
rather than drop the old are the operator's.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.bus.jetstream.subjects import Names

_SECOND = 1_000_000_000
_SHORTEST_WINDOW = _SECOND // 10
ENVELOPE = 64 * 1024
"""Room an event needs beyond the command it carries."""

Config = dict[str, Any]


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a stream that is there, and what to do about it."""

    stream: str
    field: str
    message: str


def wanted(names: Names, settings: BusSettings, max_payload: int) -> list[Config]:
    """Every stream in the order to create them: the commands last, for until they are there nobody can send one.
    `max_payload`: bytes of the largest message the server takes."""
    return [
        _engines(names),
        _pipelines(names),
        _events(names, settings),
        _timers(names, settings),
        _rejections(names, settings),
        _commands(names, settings, max_payload),
    ]


_FORBIDDEN: dict[str, str] = {
    "no_ack": "nobody would learn whether anything was stored",
    "sealed": "nothing can be stored in it any more",
    "mirror": "it would be another stream's copy",
    "sources": "another stream's messages would be taken for ours",
    "subject_transform": "its messages would be stored under subjects that nobody reads",
    "republish": "its messages would be published where nobody expects them",
    "max_msgs_per_subject": "all but the last few messages of a subject would be dropped",
    "discard_new_per_subject": "a subject would take no more messages after a few",
    "allow_rollup_hdrs": "one message could wipe the others of its subject",
    "allow_msg_ttl": "messages could be made to vanish",
    "allow_msg_schedules": "messages could be made to publish others elsewhere",
    "allow_msg_counter": "it would take counters only",
    "deny_purge": "what is done with could not be taken off it",
    "persist_mode": "what was acknowledged could be lost in a crash",
}
"""Fields that must be as if they were not there, unless a stream is wanted with them, and why."""
_NOTHING: tuple[object, ...] = (None, False, 0, -1, "", [], "default")
_OPERATORS = frozenset({"name", "max_age", "max_msg_size", "first_seq"})


def faults(wanted: Config, found: Config) -> list[Fault]:
    """What is wrong with a stream that is there with the configuration `found`; empty: nothing that matters."""
    name = wanted["name"]
    wrong: list[Fault] = []
    if wanted.get("subject_transform") != found.get("subject_transform"):
        wrong.append(Fault(name, "subject_transform", _other_transform(wanted, found)))
    for field, value in {"storage": "file", **wanted}.items():
        if field in _OPERATORS or field == "subject_transform" or (field == "max_bytes" and wanted["discard"] == "new"):
            continue
        if _plain(found.get(field)) != _plain(value):
            message = (
                f"the stream {name} exists with {field} = {found.get(field)!r}, but {value!r} is needed. "
                "Another program's stream? Use another prefix, or remove it if nothing in it is needed"
            )
            wrong.append(Fault(name, field, message))
    for field, why in _FORBIDDEN.items():
        if field not in wanted and field != "subject_transform" and found.get(field) not in _NOTHING:
            wrong.append(Fault(name, field, f"the stream {name} has {field} = {found[field]!r}: {why}. Take it off"))
    return wrong + _limits(wanted, found)


def _limits(wanted: Config, found: Config) -> list[Fault]:
    name = wanted["name"]
    wrong = []
    if wanted.get("max_age") == 0 and found.get("max_age"):
        message = f"the stream {name} has a max age and would lose what is not done yet: take it off"
        wrong.append(Fault(name, "max_age", message))
    limit = wanted.get("max_msg_size", -1)
    if limit > 0 and not 0 < found.get("max_msg_size", -1) <= limit:
        message = (
            f"the stream {name} takes messages larger than {limit} bytes, which would not fit into an event: "
            f"set its max_msg_size to at most that, or raise the server's max_payload"
        )
        wrong.append(Fault(name, "max_msg_size", message))
    return wrong


def partitions_of(commands: Config) -> int | None:
    """How many partitions an existing command log was created with; None: it is not one of ours."""
    found = _PARTITIONS.search((commands.get("subject_transform") or {}).get("dest", ""))
    return int(found[1]) if found else None


_PARTITIONS = re.compile(r"\{\{\s*partition\((\d+),\s*2\)\s*\}\}")


def _plain(value: object) -> object:
    """Lists of subjects without their order; what the server leaves out as what it means."""
    if isinstance(value, list):
        return sorted(value)
    return value or None


def _other_transform(wanted: Config, found: Config) -> str:
    return (
        f"the stream {wanted['name']} was created with {_transform(found)}, but the settings ask for "
        f"{_transform(wanted)}. The number of partitions is fixed when the streams are created: set "
        "`partitions` to what the stream has, or use another prefix"
    )


def _transform(config: Config) -> str:
    transform = config.get("subject_transform")
    return f"the transform {transform['src']} -> {transform['dest']}" if transform else "no subject transform"


def _commands(names: Names, settings: BusSettings, max_payload: int) -> Config:
    partition = f"{{{{partition({settings.partitions},2)}}}}"
    return {
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
        "max_msg_size": max_payload - ENVELOPE,
        "duplicate_window": _SHORTEST_WINDOW,
        "allow_atomic": True,
        "allow_rollup_hdrs": False,
        "allow_msg_schedules": False,
        "allow_msg_ttl": False,
    }


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
        "allow_rollup_hdrs": True,
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
