"""What this user may do, tried without doing it.

A message that names a stream it does not belong to is refused by that stream, which says that it would have been let
through; a subject this user may not use is refused by the server. So nothing is stored either way.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stageflow_es.bus.jetstream.connection import Denial
from stageflow_es.bus.jetstream.link import API, ApiError, Denied, checked
from stageflow_es.doctor.finding import Finding, Severity
from stageflow_es.doctor.patient import ANSWER_WITHIN, Patient
from stageflow_es.engine.ports import Refused, Unanswered

Role = Literal["client", "engine"]
Right = Literal["send commands", "forge events", "set timers", "steer engines", "register pipelines", "manage streams"]
"""What a right to publish somewhere means."""

TRIAL = "doctor-trial"
_NO_STREAM = {"Nats-Expected-Stream": "not-a-stream-of-anybody"}
_ENGINES_ONLY: tuple[Right, ...] = ("forge events", "set timers", "steer engines", "manage streams")
_READS = ("follow events live", "hear rejections", "read histories")


class Tried(msgspec.Struct):
    """Each right: True, False, or None where it cannot be told."""

    rights: dict[str, bool | None]
    subjects: dict[str, str]

    def only(self, verdict: bool | None) -> list[str]:
        return [right for right, may in self.rights.items() if may is verdict]


async def rights(patient: Patient, role: Role | None) -> list[Finding]:
    """What this user may do; judged by `role`, what it is meant to be, where that is said."""
    tried = await _try_all(patient)
    if patient.link.deaf:
        return [
            Finding(
                severity="error",
                about="permissions",
                says="this user may not subscribe to its own inbox",
                means="no answer of the server reaches it, so it can send nothing and see nothing",
                do="allow it to subscribe to _INBOX.>, or give it an inbox prefix of its own and say so in the context",
            )
        ]
    findings = [_may(tried)]
    findings += _lacking(tried, role)
    return findings + _too_much(patient, tried, role)


async def _try_all(patient: Patient) -> Tried:
    names = patient.names
    publishing: dict[str, str] = {
        "send commands": names.command("start", TRIAL),
        "forge events": names.append(TRIAL),
        "set timers": names.timer_set(TRIAL, TRIAL),
        "steer engines": f"$KV.{names.engines}.{TRIAL}",
        "register pipelines": f"$KV.{names.pipelines}.{TRIAL}",
    }
    listening = {"follow events live": names.event(TRIAL), "hear rejections": names.rejection(TRIAL)}
    found: dict[str, bool | None] = {}
    for right, subject in publishing.items():
        found[right] = await _may_publish(patient, subject)
    found["manage streams"] = await _may_ask(patient, f"{API}.STREAM.PURGE.{names.events}-{TRIAL}")
    found |= await _may_listen(patient, listening)
    found["read histories"] = await _may_ask(patient, f"{API}.STREAM.MSG.GET.{names.events}", {"seq": 1})
    return Tried(found, {**publishing, **listening, "read histories": f"{API}.STREAM.MSG.GET.{names.events}"})


async def _may_publish(patient: Patient, subject: str) -> bool | None:
    try:
        checked(await patient.link.request(subject, b"", _NO_STREAM, within=ANSWER_WITHIN))
    except Denied:
        return False
    except (Unanswered, Refused, msgspec.DecodeError):
        return None
    except ApiError:
        return True
    return None


async def _may_ask(patient: Patient, subject: str, body: Any = None) -> bool | None:
    try:
        await patient.link.request(subject, b"" if body is None else msgspec.json.encode(body), within=ANSWER_WITHIN)
    except Denied:
        return False
    except (Unanswered, Refused):
        return None
    return True


async def _may_listen(patient: Patient, subjects: dict[str, str]) -> dict[str, bool | None]:
    refused: set[str] = set()

    def note(denial: Denial) -> None:
        if denial.verb == "subscribe":
            refused.add(denial.subject)

    connection = patient.link.client
    connection.when_denied(note)
    listeners = [await connection.listen(subject, lambda _: None) for subject in subjects.values()]
    try:
        await connection.flush(ANSWER_WITHIN)
    except Exception:
        return dict.fromkeys(subjects)
    finally:
        for listener in listeners:
            await listener.close()
    return {right: subject.lower() not in refused for right, subject in subjects.items()}


def _may(tried: Tried) -> Finding:
    may, may_not, unknown = tried.only(True), tried.only(False), tried.only(None)
    says = f"this user may {', '.join(may)}" if may else "this user may do nothing here"
    if may_not:
        says += f"; it may not {', '.join(may_not)}"
    if unknown:
        says += f"; whether it may {', '.join(unknown)} cannot be told"
    return Finding(severity="unknown" if unknown and not may and not may_not else "ok", about="permissions", says=says)


def _lacking(tried: Tried, role: Role | None) -> list[Finding]:
    needed: tuple[str, ...] = ("send commands", *_READS) if role == "client" else tuple(tried.rights)
    if role is None:
        needed = ()
    findings = []
    for right in needed:
        if tried.rights[right] is False and not (role == "client" and right == "read histories"):
            where = tried.subjects.get(right, f"{API}.>")
            verb = "subscribe to" if right in _READS[:2] else "publish on"
            says = f"a{'n' if role == 'engine' else ''} {role} has to {right}, and this user may not"
            findings.append(Finding(severity="error", about="permissions", says=says, do=f"allow it to {verb} {where}"))
    return findings


def _too_much(patient: Patient, tried: Tried, role: Role | None) -> list[Finding]:
    """Rights that are for engines only, in the hands of somebody who may be none."""
    risky = [right for right in _ENGINES_ONLY if tried.rights[right]]
    if not risky or role == "engine":
        return []
    open_to_all = not patient.link.client.server_info.get("auth_required")
    who = "everybody who reaches this server, which asks nobody for a password," if open_to_all else "this user"
    severity: Severity = "note"
    if role == "client":
        severity = "error"
    elif tried.only(False):
        severity = "warning"  # somebody meant to restrict it, and left the worst
    return [
        Finding(
            severity=severity,
            about="permissions",
            says=f"{who} may {', '.join(risky)}",
            means="whoever may publish on append and timer subjects, or manage streams, can write into any session's "
            "history or remove it; a verifier would notice, engines would stumble",
            do=f"give engines a user of their own, and let clients publish on {patient.names.prefix}.command.> and "
            f"{patient.names.prefix}.query.> only",
        )
    ]
