"""The streams: how much is in them, how much ever was, and how much may be."""

from __future__ import annotations

from typing import Any

from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.bus.jetstream.subjects import Names
from stageflow_es.doctor.patient import Patient, Unseen
from stageflow_es.metrics.exposition import Family, Sample, gauge


async def streams(patient: Patient) -> list[Family]:
    """Looks at the streams, for the other sources too. Raises Unseen where one of them is not to be seen."""
    await patient.look_at_streams()
    for problem in patient.unseen.values():
        raise Unseen(problem)
    short = _short(patient.names)
    infos = {short[name]: info for name in patient.all_streams() if (info := patient.info(name)) is not None}
    missing = short.values() - infos.keys()
    if missing:
        raise Unseen(f"there is no stream of {', '.join(sorted(missing))}: the first engine of a prefix makes them")
    return _families(infos)


def _short(names: Names) -> dict[str, str]:
    """The streams' names on the page: those of the server begin with the prefix, and alerts are written once."""
    return {
        names.commands: "commands",
        names.events: "events",
        names.timers: "timers",
        names.rejections: "rejections",
        f"KV_{names.pipelines}": "pipelines",
        f"KV_{names.engines}": "engines",
    }


def _families(infos: dict[str, dict[str, Any]]) -> list[Family]:
    def of_each(number: Any) -> list[Sample]:
        return [Sample({"stream": name}, found) for name, info in infos.items() if (found := number(info)) is not None]

    return [
        Family(
            name="stream_stored",
            help="Messages a stream has taken since it was made: its last sequence.",
            kind="counter",
            samples=of_each(lambda info: info["state"]["last_seq"]),
        ),
        Family(
            name="stream_messages",
            help="Messages that are in a stream. Of commands and fires of timers, those not forgotten yet.",
            samples=of_each(lambda info: info["state"]["messages"]),
        ),
        Family(
            name="stream",
            unit="bytes",
            help="Bytes a stream has on disk.",
            samples=of_each(lambda info: info["state"]["bytes"]),
        ),
        Family(
            name="stream_limit",
            unit="bytes",
            help="Bytes a stream may have, where that is limited.",
            samples=of_each(_limit),
        ),
        Family(
            name="stream_copies",
            help="Servers a stream is meant to be on.",
            samples=of_each(lambda info: info["config"].get("num_replicas", 1)),
        ),
        Family(
            name="stream_copies_current",
            help="Servers a stream is on, and up to date.",
            samples=of_each(_current),
        ),
    ]


def _limit(info: dict[str, Any]) -> int | None:
    most: int = info["config"].get("max_bytes", -1)
    return most if most > 0 else None


def _current(info: dict[str, Any]) -> int:
    cluster = info.get("cluster") or {}
    if not cluster.get("replicas"):
        return 1
    others = [one for one in cluster["replicas"] if one.get("current") and not one.get("offline")]
    return len(others) + bool(cluster.get("leader"))


async def account(patient: Patient) -> list[Family]:
    """What the account has on disk, and may have. Raises Unseen."""
    try:
        found = await patient.api("INFO")
    except ApiError as problem:
        raise Unseen(f"JetStream does not say how much it stores: {problem}") from problem
    stored = gauge(
        "account_storage", "Bytes the account has on disk, each copy counted.", found["storage"], unit="bytes"
    )
    limit = (found.get("limits") or {}).get("max_storage", -1)
    if limit < 0:
        return [stored]
    return [stored, gauge("account_storage_limit", "Bytes the account may have on disk.", limit, unit="bytes")]
