"""The projection: how far it is behind the events, and what it knows of the sessions."""

from __future__ import annotations

from typing import get_args

import msgspec

from stageflow_es.client import SessionCounts
from stageflow_es.doctor.patient import Patient, Unseen
from stageflow_es.metrics.exposition import Family, Sample, gauge
from stageflow_es.session.questions import Status

PIPELINES = 100
"""Pipelines on the page, those with most sessions: every one is eight lines, and there may be any number of names."""
LONGEST_NAME = 200
STATUSES: tuple[str, ...] = get_args(Status)


class _Health(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    seq: int | None = None
    last: int | None = None
    problem: str | None = None


async def projection(patient: Patient) -> list[Family]:
    """Raises Unseen where the projection fails: its rows are of another stream, or of nobody knows when."""
    health = msgspec.convert(await patient.client.health(), _Health)
    if health.status == "failing" or health.seq is None or health.last is None:
        raise Unseen(health.problem or "the projection does not say how far it is")
    return [
        gauge("projection_sequence", "The stream sequence of the last event in the projection.", health.seq),
        gauge("projection_lag_events", "Events that are not in the projection yet.", health.last - health.seq),
        gauge(
            "projection_lag",
            "Seconds for which the oldest event that is not in the projection has been there; 0 where there is none.",
            await _lag(patient, health.seq) if health.last > health.seq else 0.0,
            unit="seconds",
        ),
        *_sessions(await patient.client.counts(limit=PIPELINES)),
    ]


async def _lag(patient: Patient, seq: int) -> float:
    names = patient.names
    oldest = await patient.stored(names.events, {"seq": seq + 1, "next_by_subj": names.event("*")})
    now = patient.now(names.events)
    if now is None:
        raise Unseen("the server does not say what time it is")
    return 0.0 if oldest is None else max((now - oldest.at).total_seconds(), 0.0)


def _sessions(counts: SessionCounts) -> list[Family]:
    shown = [one for one in counts.pipelines if len(one.pipeline or "") <= LONGEST_NAME]
    return [
        Family(
            name="sessions",
            help="Sessions by status.",
            samples=[Sample({"status": status}, counts.sessions.get(status, 0)) for status in STATUSES],
        ),
        Family(
            name="pipeline_sessions",
            help=f"Sessions by pipeline (empty: it has no name) and status, of the {PIPELINES} with most sessions.",
            samples=[
                Sample({"pipeline": one.pipeline or "", "status": status}, one.sessions.get(status, 0))
                for one in shown
                for status in STATUSES
            ],
        ),
        gauge(
            "pipelines_left_out",
            "Pipelines whose sessions are only in the sums by status.",
            counts.more + len(counts.pipelines) - len(shown),
        ),
    ]
