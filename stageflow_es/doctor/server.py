"""The server: its version, JetStream and its limits."""

from __future__ import annotations

from typing import Any

from stageflow_es.bus.jetstream.layout import ENVELOPE
from stageflow_es.bus.jetstream.link import NOT_ENABLED, ApiError
from stageflow_es.bus.jetstream.streams import NEEDED, too_old, version_of
from stageflow_es.doctor.finding import Finding, Severity
from stageflow_es.doctor.fullness import fullness, size
from stageflow_es.doctor.patient import Patient, Unseen, unseen

_LIMITS = {
    "max_streams": "streams",
    "max_consumers": "consumers",
}


async def version(patient: Patient) -> list[Finding]:
    """Whether every server that shows is new enough."""
    connected = version_of(patient.link.client)
    problem = too_old(connected)
    shown = ".".join(map(str, connected))
    needed = ".".join(map(str, NEEDED))
    if problem:
        return [Finding(severity="error", about="version", says=problem, do=f"update the server to {needed} or newer")]
    findings = [Finding(severity="ok", about="version", says=f"nats-server {shown}; {needed} or newer is needed")]
    for server in patient.insight.servers:
        numbers = tuple(int(part) for part in server.version.split("-")[0].split(".") if part.isdecimal())
        if len(numbers) == 3 and (older := too_old((numbers[0], numbers[1], numbers[2]))):
            findings.append(Finding(severity="error", about=f"version of {server.name}", says=older))
    return findings


async def jetstream(patient: Patient) -> list[Finding]:
    """Whether JetStream is there for this account, and how much of what it may use is used."""
    try:
        account = await patient.api("INFO")
    except ApiError as problem:
        return [_refused(problem)]
    except Unseen as problem:
        return [_no_answer(patient, problem)]
    used = f"{account.get('streams', 0)} streams, {size(account.get('storage', 0))} on disk"
    findings = [Finding(severity="ok", about="JetStream", says=f"enabled for this account: {used}")]
    return findings + _account_limits(account) + _disk(patient)


def _refused(problem: ApiError) -> Finding:
    if problem.number not in NOT_ENABLED and problem.status >= 500:
        says = f"is not there just now: {problem}"
        means = (
            "where several servers keep the streams, a majority of them is away; nothing is stored until one is back"
        )
        return Finding(severity="error", about="JetStream", says=says, means=means)
    says = f"JetStream refuses this account: {problem}"
    do = "enable JetStream for the account, or use a user of another account"
    severity: Severity = "error" if problem.number in NOT_ENABLED else "unknown"
    return Finding(severity=severity, about="JetStream", says=says, do=do)


def _no_answer(patient: Patient, problem: Unseen) -> Finding:
    told = patient.link.client.server_info.get("jetstream")
    if told:
        do = "allow this user to publish on $JS.API.INFO, or ask with a user that may"
        return unseen("JetStream", problem, do)
    return Finding(
        severity="error",
        about="JetStream",
        says="this server has no JetStream",
        means="nothing can be stored on it, and StageFlow cannot run",
        do="enable it: jetstream { store_dir: ..., sync_interval: always }",
    )


def _account_limits(account: dict[str, Any]) -> list[Finding]:
    limits: dict[str, Any] = account.get("limits") or {}
    findings = []
    room = limits.get("max_storage", -1)
    if room >= 0:
        findings.append(fullness("account storage", account.get("storage", 0), room, "the account's limit"))
    for field, things in _LIMITS.items():
        most, there = limits.get(field, -1), account.get(things, 0)
        if most >= 0 and there >= most:
            says = f"the account has {there} {things} and may have {most}"
            means = "engines and projectors read through consumers, and cannot make them"
            findings.append(Finding(severity="error", about=f"account {things}", says=says, means=means))
    if limits.get("max_bytes_required"):
        says = "the account wants a size limit on every stream, which ours have not"
        findings.append(
            Finding(severity="warning", about="account limits", says=says, do="take max_bytes_required off")
        )
    return findings


def _disk(patient: Patient) -> list[Finding]:
    return [
        fullness(f"JetStream's disk on {server.name}", server.storage, server.config.max_storage, "what it may use")
        for server in patient.insight.servers
        if server.config is not None and server.config.max_storage > 0
    ]


async def sizes(patient: Patient) -> list[Finding]:
    """How large a message may be."""
    largest = patient.link.client.max_payload
    says = f"max_payload is {size(largest)}"
    if largest < 2 * ENVELOPE:
        do = f"set max_payload to at least {size(2 * ENVELOPE)}"
        return [Finding(severity="error", about="message size", says=says, means="no session fits into it", do=do)]
    means = f"a command may have {size(largest - ENVELOPE)}, an event {size(largest)}"
    return [Finding(severity="ok", about="message size", says=says, means=means)]
