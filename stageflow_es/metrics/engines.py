"""The engines alive, by what each said when it said last that it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite

from stageflow_es.doctor.patient import Patient
from stageflow_es.engine.vitals import Ever, Vitals
from stageflow_es.metrics.exposition import Family, Sample, gauge


async def engines(patient: Patient) -> list[Family]:
    """Raises BusError."""
    members = await patient.client.engines()
    return [
        gauge("engines", "Engines alive.", len(members)),
        Family(
            name="engine_info",
            help="An engine and the release it runs.",
            samples=[Sample({"engine": engine, "release": one.release}, 1) for engine, one in members.items()],
        ),
        *_standing(members),
        *_made(members),
    ]


def _standing(members: Mapping[str, Vitals]) -> list[Family]:
    def of_each(name: str, help: str, number: Callable[[Vitals], int]) -> Family:
        samples = [Sample({"engine": engine}, number(one)) for engine, one in members.items()]
        return Family(name=f"engine_{name}", help=help, samples=samples)

    return [
        of_each("partitions", "Partitions an engine holds.", lambda one: one.partitions),
        of_each("sessions", "Sessions an engine has in memory.", lambda one: one.sessions),
        of_each("sessions_running", "Sessions whose stages run.", lambda one: one.running),
        of_each("sessions_queued", "Sessions that wait for a place to run.", lambda one: one.queued),
        of_each(
            "sessions_lacking_stage",
            "Sessions that stand still for a stage the engine has not got.",
            lambda one: sum(one.lacking.values()),
        ),
        of_each(
            "unsettled_messages",
            "Commands and fires of timers that an engine has read and not dealt with yet.",
            lambda one: one.unsettled,
        ),
    ]


def _made(members: Mapping[str, Vitals]) -> list[Family]:
    """What engines made durable; of those that count it."""
    counting = {engine: one.commits.ever for engine, one in members.items() if one.commits.ever is not None}
    return [
        Family(
            name="engine_events",
            help="Events an engine has made durable since it began.",
            kind="counter",
            samples=[Sample({"engine": engine}, ever.events) for engine, ever in counting.items()],
        ),
        Family(
            name="engine_commit",
            unit="seconds",
            help="How long rounds of group commit took, from the first byte sent to the last event durable.",
            kind="histogram",
            samples=[sample for engine, ever in counting.items() for sample in _rounds(engine, ever)],
        ),
    ]


def _rounds(engine: str, ever: Ever) -> list[Sample]:
    """An engine of another release may count by other bounds."""
    found = {float(bound): rounds for bound, rounds in ever.within.items() if isfinite(float(bound))}
    buckets = [
        Sample({"engine": engine, "le": repr(bound)}, min(rounds, ever.rounds), "_bucket")
        for bound, rounds in sorted(found.items())
    ]
    return [
        *buckets,
        Sample({"engine": engine, "le": "+Inf"}, ever.rounds, "_bucket"),
        Sample({"engine": engine}, ever.rounds, "_count"),
        Sample({"engine": engine}, ever.seconds, "_sum"),
    ]
