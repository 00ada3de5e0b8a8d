"""The streams: there, as they have to be, with how many copies, and how full."""

from __future__ import annotations

from typing import Any

from stageflow_es.bus.jetstream.layout import ENVELOPE, faults, wanted
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.fullness import fullness, size
from stageflow_es.doctor.patient import Patient, unseen

_FAR_BEHIND = 1000
"""Operations a copy may lag behind its leader without a word about it."""
_SILENT = 5.0
"""Seconds without a word from a copy, which is to give one every second, before it is reported."""


async def streams(patient: Patient) -> list[Finding]:
    """Whether each stream is there and configured as this release needs it."""
    names = patient.all_streams()
    findings = [unseen(f"stream {name}", problem, _ASK) for name, problem in patient.unseen.items()]
    if len(findings) == len(names):
        return [unseen("streams", next(iter(patient.unseen.values())), _ASK)]
    missing = [name for name in names if name in patient.streams and patient.streams[name] is None]
    if len(missing) == len(names):
        return [_none_at_all(patient)]
    findings += [_missing(name) for name in missing]
    wrong = _faults(patient)
    findings += wrong
    seen = [name for name in names if patient.info(name) is not None]
    if seen and not wrong:
        parts = patient.partitions
        says = f"{len(seen)} of {len(names)} are there and as they have to be"
        says += f"; sessions are in {parts} partitions" if parts else ""
        findings.insert(0, Finding(severity="ok", about="streams", says=says))
    return findings + _small_events(patient)


_ASK = "allow this user to publish on $JS.API.STREAM.INFO.>, or ask with a user that may"


def _none_at_all(patient: Patient) -> Finding:
    return Finding(
        severity="error",
        about="streams",
        says=f"none of the streams of the prefix {patient.names.prefix!r} is there",
        means="no engine has ever run on this server, account and prefix, or its streams were removed",
        do="start an engine: the first one creates them; or name another --prefix or account",
    )


def _missing(name: str) -> Finding:
    return Finding(
        severity="error",
        about=f"stream {name}",
        says="is missing, and others of this prefix are there",
        means="it was removed, with all that was in it",
        do="restore it from a backup; an engine that starts now makes an empty one",
    )


def _faults(patient: Patient) -> list[Finding]:
    findings = []
    for config in wanted(patient.names, patient.settings, patient.link.client.max_payload):
        info = patient.info(config["name"])
        for fault in () if info is None else faults(config, info["config"]):
            means = "engines refuse to start on it, and what runs already may lose or repeat something"
            about = f"stream {fault.stream}: {fault.field}"
            findings.append(Finding(severity="error", about=about, says=fault.message, means=means))
    return findings


def _small_events(patient: Patient) -> list[Finding]:
    """A limit on events below what a command may bring."""
    events, commands = patient.info(patient.names.events), patient.info(patient.names.commands)
    if events is None or commands is None:
        return []
    limit, largest = events["config"].get("max_msg_size", -1), commands["config"].get("max_msg_size", -1)
    if not 0 < limit < largest + ENVELOPE:
        return []
    return [
        Finding(
            severity="warning",
            about=f"stream {patient.names.events}: max_msg_size",
            says=f"events may have {size(limit)}, commands {size(largest)}",
            means="a session whose next event does not fit fails",
            do=f"take the limit off, or lower that of {patient.names.commands}",
        )
    ]


async def copies(patient: Patient) -> list[Finding]:
    """On how many servers each stream is, and whether they are all there."""
    infos = {name: info for name in patient.all_streams() if (info := patient.info(name)) is not None}
    if not infos:
        return []
    numbers = {name: int(info["config"].get("num_replicas", 1)) for name, info in infos.items()}
    findings = [_spread(numbers)]
    for name, info in infos.items():
        findings += _followers(name, info.get("cluster") or {})
    return findings


def _spread(numbers: dict[str, int]) -> Finding:
    found = sorted(set(numbers.values()))
    if len(found) > 1:
        says = ", ".join(f"{name} {number}" for name, number in numbers.items())
        means = f"the weakest counts: as safe as {found[0]} cop{'y' if found[0] == 1 else 'ies'}"
        do = "give all of them the same: nats stream edit --replicas"
        return Finding(
            severity="warning", about="replicas", says=f"not the same everywhere: {says}", means=means, do=do
        )
    if found == [1]:
        means = "it survives restarts and crashes of the server, not the loss of its disk; while it is down, all waits"
        do = "three servers and STAGEFLOW_REPLICAS=3 survive the loss of one; else keep backups"
        return Finding(severity="note", about="replicas", says="every stream is on one server only", means=means, do=do)
    away = (found[0] - 1) // 2
    says = f"every stream is on {found[0]} servers"
    means = f"work goes on while {away} of them {'is' if away == 1 else 'are'} away"
    if found[0] % 2 == 0:
        do = f"{found[0] - 1} survive the same and cost less"
        return Finding(severity="warning", about="replicas", says=says, means=means, do=do)
    return Finding(severity="ok", about="replicas", says=says, means=means)


def _followers(name: str, cluster: dict[str, Any]) -> list[Finding]:
    about = f"copies of {name}"
    if cluster and not cluster.get("leader"):
        means = "nothing can be stored in it until a majority of its servers is back"
        return [Finding(severity="error", about=about, says="it has no leader", means=means)]
    findings = []
    for follower in cluster.get("replicas") or []:
        lag = follower.get("lag", 0)
        silent = follower.get("active", 0) / 1_000_000_000
        if follower.get("offline"):
            says = f"the one on {follower['name']} is offline"
        elif silent > _SILENT:
            says = f"nothing has been heard of the one on {follower['name']} for {silent:.0f} s"
        elif not follower.get("current", True) or lag > _FAR_BEHIND:
            says = f"the one on {follower['name']} is {lag} operations behind"
        else:
            continue
        means = "until it has caught up, the loss of one more server may stop all work"
        findings.append(Finding(severity="warning", about=about, says=says, means=means))
    return findings


async def room(patient: Patient) -> list[Finding]:
    """How full the streams are that have a limit."""
    findings = []
    for name in patient.all_streams():
        info = patient.info(name)
        most = -1 if info is None else info["config"].get("max_bytes", -1)
        if info is not None and most > 0 and info["config"].get("discard") == "new":
            findings.append(fullness(f"room in {name}", info["state"].get("bytes", 0), most, "its max_bytes"))
    return findings
