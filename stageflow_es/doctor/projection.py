"""The query service and the projection it answers from."""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.bus.jetstream.link import Denied
from stageflow_es.client.queries import NoQueries, QueryRefused
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.patient import Patient, unseen

_ABOUT = "projection"


async def projection(patient: Patient) -> list[Finding]:
    """Whether queries are answered, and how far behind the events the answers are."""
    try:
        report: dict[str, Any] = msgspec.json.decode(await patient.client.queries.ask("health"))
    except NoQueries as problem:
        if isinstance(problem.__cause__, Denied):
            return [unseen(_ABOUT, problem, f"allow this user to publish on {patient.names.prefix}.query.>")]
        return [_nobody()]
    except (QueryRefused, msgspec.MsgspecError) as problem:
        return [Finding(severity="error", about=_ABOUT, says=f"the query service cannot say how it is: {problem}")]
    seq, last, broken = report.get("seq"), report.get("last"), report.get("broken")
    findings = []
    if report.get("status") == "failing":
        do = "its log says more; a projection can always be rebuilt: stageflow rebuild --db FILE"
        says = f"fails: {report.get('problem') or 'it does not say why'}"
        findings.append(Finding(severity="error", about=_ABOUT, says=says, means="queries answer with old rows", do=do))
    elif report.get("status") == "behind":
        says = f"has come to event {seq} of {last}"
        means = "lists and cards are old by so much; sessions, histories and verification are not touched"
        do = "if the gap does not shrink, look at the projector's log"
        findings.append(Finding(severity="warning", about=_ABOUT, says=says, means=means, do=do))
    else:
        findings.append(Finding(severity="ok", about=_ABOUT, says=f"answers, and has come to event {seq} of {last}"))
    if broken:
        says = f"{broken} sessions have a history that cannot be folded"
        do = "stageflow verify SESSION names the first event that does not follow; the projector's log names them"
        findings.append(Finding(severity="error", about=_ABOUT, says=says, do=do))
    return findings


def _nobody() -> Finding:
    return Finding(
        severity="warning",
        about=_ABOUT,
        says="no query service answers",
        means="sessions run all the same; list, show, bulk commands and archive by query do not work",
        do="start one: python -m services.projection",
    )
