"""Engines alive, the partitions they hold, and what an engine that is gone left behind."""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec

from stageflow_es.bus.jetstream.leases import JetStreamLeases
from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.bus.jetstream.settings import BusSettings
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.patient import Kept, Patient, Unseen, unseen
from stageflow_es.engine.ports import BusError, Checkpoint
from stageflow_es.engine.vitals import Vitals

AT_ONCE = 16
_SHOWN = 8
_ABOUT = "engines"
SILENT = 0.7
"""The share of a lease's term after which two renewals are missing: one is due at each third of it."""


class _Holder(msgspec.Struct, frozen=True):
    engine: str


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One partition: who holds its lease, since when and for how many seconds, and its checkpoint with the time it was
    written. `unread`: there is a checkpoint that cannot be read."""

    number: int
    owner: str | None = None
    renewed: datetime | None = None
    term: float | None = None
    checkpoint: Checkpoint | None = None
    written: datetime | None = None
    unread: str = ""


async def partitions(patient: Patient) -> list[Held]:
    """Every partition, as the engines' bucket has it. Raises Unseen."""
    count = patient.partitions
    if count is None:
        raise Unseen("how many partitions there are is not to be seen")
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> Held:
        async with places:
            return await _held(patient, number)

    return list(await asyncio.gather(*map(one, range(count))))


async def _held(patient: Patient, number: int) -> Held:
    lease = await entry(patient, f"lease.{number}")
    kept = await entry(patient, f"checkpoint.{number}")
    fields: dict[str, object] = {}
    if lease is not None:
        fields |= {"owner": _engine(lease.data), "renewed": lease.at, "term": lease.term}
    if kept is not None:
        try:
            checkpoint = msgspec.json.decode(kept.data, type=Checkpoint)
            fields |= {"checkpoint": checkpoint, "written": kept.at}
        except msgspec.MsgspecError as problem:
            fields["unread"] = str(problem)
    return Held(number=number, **fields)  # type: ignore[arg-type]


async def entry(patient: Patient, key: str) -> Kept | None:
    """What the engines' bucket has under a key. Raises Unseen."""
    bucket = patient.names.engines
    found = await patient.stored(f"KV_{bucket}", {"last_by_subj": f"$KV.{bucket}.{key}"})
    return None if found is None or found.marker else found


def _engine(data: bytes) -> str:
    try:
        return msgspec.json.decode(data, type=_Holder).engine
    except msgspec.MsgspecError:
        return "?"


async def engines(patient: Patient) -> list[Finding]:
    """Who is alive, and which partitions nobody works on."""
    if patient.info(f"KV_{patient.names.engines}") is None:
        return []
    try:
        held = await partitions(patient)
    except Unseen as problem:
        return [unseen(_ABOUT, problem, f"ask with a user that may read KV_{patient.names.engines}")]
    owners: dict[str, int] = {}
    for one in held:
        if one.owner is not None:
            owners[one.owner] = owners.get(one.owner, 0) + 1
    free = [one for one in held if one.owner is None]
    alive = await members(patient)
    findings = [_alive(owners, sorted(alive.keys() - owners.keys()), len(held))] if owners else []
    findings += _silent(held, await _clock(patient))
    findings += _releases(alive)
    findings += [_lacking(name, one.lacking) for name, one in alive.items() if one.lacking]
    if free:
        findings.append(_unowned(free, owners))
    return findings + [_unread(one) for one in held if one.unread]


async def members(patient: Patient) -> dict[str, Vitals]:
    """The engines alive, and how they do."""
    try:
        return await JetStreamLeases(patient.link, BusSettings(prefix=patient.names.prefix)).members()
    except (BusError, msgspec.MsgspecError):
        return {}


def _releases(members: dict[str, Vitals]) -> list[Finding]:
    """Whether engines of several releases work beside one another."""
    of_release: dict[str, list[str]] = {}
    for name, vitals in members.items():
        if vitals.release:
            of_release.setdefault(vitals.release, []).append(name)
    if len(of_release) < 2:
        return []
    said = "; ".join(f"{release}: {', '.join(names[:_SHOWN])}" for release, names in sorted(of_release.items()))
    latest = max(vitals.history_version for vitals in members.values())
    behind = sorted(name for name, vitals in members.items() if vitals.release and vitals.history_version < latest)
    idle = f": {', '.join(behind[:_SHOWN])} may not know the events of the others, and do nothing" if behind else ""
    return [
        Finding(
            severity="warning" if behind else "note",
            about=_ABOUT,
            says=f"they are of {len(of_release)} releases: {said}",
            means=f"as while they are updated, one after the other{idle}",
            do="update the others too",
        )
    ]


def _lacking(engine: str, stages: dict[str, int]) -> Finding:
    said = ", ".join(f"{stage!r} ({count} session{'' if count == 1 else 's'})" for stage, count in stages.items())
    return Finding(
        severity="error",
        about=f"engine {engine}",
        says=f"has not got stages that its sessions have come to: {said}",
        means="these sessions stand still there, and nothing in their histories says so",
        do="start it again with the modules that have them: every engine of a prefix needs all stages",
    )


async def _clock(patient: Patient) -> datetime | None:
    """The server's clock, now."""
    try:
        return datetime.fromisoformat((await patient.api(f"STREAM.INFO.KV_{patient.names.engines}"))["ts"])
    except (ApiError, KeyError):
        return None


def _silent(held: list[Held], now: datetime | None) -> list[Finding]:
    """Engines that have missed two renewals of the leases they hold."""
    gone: dict[str, float] = {}
    for one in held:
        if one.owner is not None and one.renewed is not None and one.term and now is not None:
            share = (now - one.renewed).total_seconds() / one.term
            gone[one.owner] = min(gone.get(one.owner, 1.0), share)
    return [
        Finding(
            severity="warning",
            about=f"engine {owner}",
            says=f"has not renewed its leases for {share:.0%} of their term",
            means="it is dead, frozen or cut off from the server; when the term is over, another engine takes its work",
            do="restart it if it does not come back",
        )
        for owner, share in sorted(gone.items())
        if share > SILENT
    ]


def _alive(owners: dict[str, int], idle: list[str], count: int) -> Finding:
    shown = ", ".join(f"{name} ({number})" for name, number in sorted(owners.items())[:_SHOWN])
    more = f" and {len(owners) - _SHOWN} more" if len(owners) > _SHOWN else ""
    says = f"{len(owners) + len(idle)} alive, with {count} partitions: {shown}{more}"
    if idle:
        says += f"; nothing to do for {', '.join(idle[:_SHOWN])}"
    if len(owners) + len(idle) == 1:
        means = "when it dies, its sessions wait until it is back; a second engine would go on with them"
        return Finding(severity="note", about=_ABOUT, says=says, means=means)
    return Finding(severity="ok", about=_ABOUT, says=says)


def _unowned(free: list[Held], owners: dict[str, int]) -> Finding:
    gone = sorted({one.checkpoint.owner for one in free if one.checkpoint is not None and not one.checkpoint.clean})
    left = f"; {', '.join(gone[:_SHOWN])} had them and did not hand them over" if gone else ""
    if not owners:
        return Finding(
            severity="error",
            about=_ABOUT,
            says=f"none is alive{left}",
            means="commands are kept and nothing answers them; every session stands still",
            do="start an engine; one that is restarted under its old name goes on at once",
        )
    numbers = ", ".join(str(one.number) for one in free[:_SHOWN]) + (" ..." if len(free) > _SHOWN else "")
    return Finding(
        severity="warning",
        about="partitions",
        says=f"nobody holds {len(free)} of them ({numbers}){left}",
        means="their sessions stand still until an engine takes them, which takes seconds when all is well",
        do="ask again in ten seconds; if it stays so, look at the engines' logs",
    )


def _unread(one: Held) -> Finding:
    return Finding(
        severity="error",
        about=f"checkpoint of partition {one.number}",
        says=f"is not one of ours: {one.unread}",
        means="no engine takes this partition",
        do="restore it, or delete the key: the partition is then read from the beginning of the log",
    )
