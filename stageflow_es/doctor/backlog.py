"""What the engines have not done yet: commands and timers above a partition's floors, and who should read them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.doctor.engines import Held, partitions
from stageflow_es.doctor.finding import Finding, Severity
from stageflow_es.doctor.patient import Patient, Unseen, unseen
from stageflow_es.engine.ports import Checkpoint

LATE, STALLED = 5.0, 60.0
"""Seconds a command or a timer's fire may have waited, before it is worth a word, and before something is wrong."""
LOOK_AGAIN = 1.0
"""Seconds after which a consumer that seemed to stand still is looked at again."""
_ABOUT = "backlog"


async def backlog(patient: Patient) -> list[Finding]:
    """Whether commands and timers are done in time, and checkpoints belong to these streams."""
    commands, timers = patient.info(patient.names.commands), patient.info(patient.names.timers)
    if commands is None or timers is None or patient.info(f"KV_{patient.names.engines}") is None:
        return []
    try:
        held = await partitions(patient)
        findings = [finding for one in held for finding in _checkpoint(one, commands, timers)]
        waiting = await _waiting(patient, held)
    except Unseen as problem:
        return [unseen(_ABOUT, problem)]
    findings += waiting or [_nothing_late(patient)]
    return findings + await _readers(patient, held)


def _nothing_late(patient: Patient) -> Finding:
    commands = patient.info(patient.names.commands) or {}
    number = commands.get("state", {}).get("messages", 0)
    says = f"no command or timer has waited longer than {LATE:g} s ({number} commands kept)"
    return Finding(severity="ok", about=_ABOUT, says=says)


def _checkpoint(one: Held, commands: dict[str, Any], timers: dict[str, Any]) -> list[Finding]:
    """Whether a checkpoint is of these very streams."""
    found = one.checkpoint
    if found is None:
        return []
    wrong = _other_streams(found, commands, timers)
    if not wrong:
        return []
    return [
        Finding(
            severity="error",
            about=f"checkpoint of partition {one.number}",
            says=wrong,
            means="the streams were removed and made again, or restored from an older backup; no engine takes this "
            "partition, for it could repeat or miss something",
            do="restore the streams it belongs to, or delete the checkpoint to begin anew with what is there",
        )
    ]


def _other_streams(found: Checkpoint, commands: dict[str, Any], timers: dict[str, Any]) -> str:
    for what, born, floor, info in (
        ("commands", found.commands_created, found.commands, commands),
        ("timers", found.timers_created, found.fires, timers),
    ):
        if born and born != str(info["created"]):
            return f"belongs to a stream of {what} created {born}; the one that is there was created {info['created']}"
        if floor > info["state"]["last_seq"]:
            return f"has done {what} up to {floor}, and the stream ends at {info['state']['last_seq']}"
    return ""


async def _waiting(patient: Patient, held: list[Held]) -> list[Finding]:
    """The oldest thing each partition has not done yet, where that is old."""
    now = patient.now(patient.names.commands)
    if now is None:
        return []
    late: list[Finding] = []
    for what, waits in (await waiting(patient, held, now)).items():
        long = {number: seconds for number, seconds in waits.items() if seconds > LATE}
        if long:
            late.append(_late(what, long, {one.number: one for one in held}, now))
    return late


async def waiting(patient: Patient, held: list[Held], now: datetime) -> dict[str, dict[int, float]]:
    """For how many seconds the oldest `command` and the oldest fire of a `timer` have waited that a partition has not
    done yet; by the partition's number, where there is one. Raises Unseen."""
    names = patient.names
    found = await asyncio.gather(
        *(_oldest(patient, names.commands, names.inbox(one.number), _floor(one).commands) for one in held),
        *(_oldest(patient, names.timers, names.timer_due(one.number), _floor(one).fires) for one in held),
    )
    return {
        what: {one.number: (now - at).total_seconds() for one, at in zip(held, times, strict=True) if at is not None}
        for what, times in (("command", found[: len(held)]), ("timer", found[len(held) :]))
    }


def _floor(one: Held) -> Checkpoint:
    return one.checkpoint or Checkpoint()


async def _oldest(patient: Patient, stream: str, subject: str, floor: int) -> datetime | None:
    found = await patient.stored(stream, {"seq": floor + 1, "next_by_subj": subject})
    return None if found is None else found.at


def _late(what: str, waits: dict[int, float], held: dict[int, Held], now: datetime) -> Finding:
    worst = max(waits, key=waits.__getitem__)
    written = held[worst].written
    said = (
        f", whose checkpoint was written {_ago(now, written)}" if written is not None else ", which has no checkpoint"
    )
    severity: Severity = "error" if waits[worst] > STALLED else "warning"
    if held[worst].owner is None:
        do = "start an engine: nobody holds that partition"
    else:
        do = f"look at the log of engine {held[worst].owner}: a stage that blocks it, or appends that are refused"
    return Finding(
        severity=severity,
        about=_ABOUT,
        says=f"the oldest {what} not done yet has waited {_duration(waits[worst])}, in partition {worst}{said}; "
        f"{len(waits)} partition{'s are' if len(waits) > 1 else ' is'} late",
        means="it is kept and will be done; until then its sessions wait",
        do=do,
    )


def _ago(now: datetime, then: datetime) -> str:
    return f"{_duration(max((now - then).total_seconds(), 0))} ago"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"


# --- who reads -------------------------------------------------------------------------------------------------


async def _readers(patient: Patient, held: list[Held]) -> list[Finding]:
    """Partitions that an engine holds and nobody reads."""
    owned = [one for one in held if one.owner is not None]
    if not owned:
        return []
    try:
        before = await _unread(patient, owned)
        if not before:
            return []
        await asyncio.sleep(LOOK_AGAIN)
        after = await _unread(patient, owned)
    except (ApiError, Unseen) as problem:
        return [unseen("consumers", problem)]
    stalled = sorted(number for number, at in after.items() if before.get(number, at - 1) == at)
    if not stalled:
        return []
    owners = sorted({str(one.owner) for one in owned if one.number in stalled})
    return [
        Finding(
            severity="error",
            about="consumers",
            says=f"partition{'s' if len(stalled) > 1 else ''} {', '.join(map(str, stalled))} held by "
            f"{', '.join(owners)} and read by nobody",
            means="the engine says it is alive, and takes no commands there",
            do="look at its log; restarted under its name it resumes at once",
        )
    ]


async def _unread(patient: Patient, owned: list[Held]) -> dict[int, int]:
    """Partitions none of whose consumers is asked for messages, with how far they were delivered."""
    found: dict[int, int] = {}
    for number, of_it in (await readers(patient, [one.number for one in owned])).items():
        if not any(each.get("num_waiting", 0) or not each.get("num_pending", 0) for each in of_it):
            found[number] = max((each["delivered"]["stream_seq"] for each in of_it), default=0)
    return found


async def readers(patient: Patient, partitions: Iterable[int]) -> dict[int, list[dict[str, Any]]]:
    """What the server says of the consumers that read the commands of each partition, those left behind by an engine
    that is gone included. Raises ApiError, Unseen."""
    consumers = await _consumers(patient, patient.names.commands)
    return {
        number: [each for each in consumers if patient.names.inbox(number) in _filters(each)] for number in partitions
    }


async def _consumers(patient: Patient, stream: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = await patient.api(f"CONSUMER.LIST.{stream}", {"offset": len(found)})
        found += page.get("consumers") or []
        if not page.get("consumers") or len(found) >= page.get("total", 0):
            return found


def _filters(consumer: dict[str, Any]) -> list[str]:
    config = consumer.get("config", {})
    return config.get("filter_subjects") or [config.get("filter_subject", "")]
