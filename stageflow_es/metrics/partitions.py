"""The partitions: which of them an engine holds, and what waits in each."""

from __future__ import annotations

from collections.abc import Mapping

from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.doctor.backlog import readers, waiting
from stageflow_es.doctor.engines import partitions as every_partition
from stageflow_es.doctor.patient import Patient, Unseen
from stageflow_es.metrics.exposition import Family, Sample, gauge


async def partitions(patient: Patient) -> list[Family]:
    """Who holds them, and since when the oldest thing waits that is not done. Raises Unseen."""
    held = await every_partition(patient)
    now = patient.now(patient.names.commands)
    if now is None:
        raise Unseen("the server does not say what time it is")
    waits = await waiting(patient, held, now)
    everyone = [one.number for one in held]
    return [
        gauge("partitions", "Partitions there are.", len(held)),
        _of_each("held", "Whether an engine holds a partition.", {one.number: one.owner is not None for one in held}),
        _of_each(
            "oldest_command",
            "Seconds the oldest command has waited that is not done yet; 0 where there is none.",
            {number: max(waits["command"].get(number, 0.0), 0.0) for number in everyone},
            unit="seconds",
        ),
        _of_each(
            "oldest_timer",
            "Seconds since the oldest timer went off that is not dealt with yet; 0 where there is none.",
            {number: max(waits["timer"].get(number, 0.0), 0.0) for number in everyone},
            unit="seconds",
        ),
    ]


async def unread(patient: Patient) -> list[Family]:
    """How many commands of each partition no engine has read yet; nothing of one that nobody reads. Raises Unseen."""
    count = patient.partitions
    if count is None:
        raise Unseen("how many partitions there are is not to be seen")
    try:
        consumers = await readers(patient, range(count))
    except ApiError as problem:
        raise Unseen(str(problem)) from problem
    foremost = {
        number: max(of_it, key=lambda one: int(one["delivered"]["stream_seq"]))
        for number, of_it in consumers.items()
        if of_it
    }
    left = {number: int(one["num_pending"]) for number, one in foremost.items()}
    return [_of_each("unread_commands", "Commands that the engine of a partition has not read yet.", left)]


def _of_each(name: str, help: str, numbers: Mapping[int, float], *, unit: str = "") -> Family:
    samples = [Sample({"partition": str(number)}, +value) for number, value in numbers.items()]
    return Family(name=f"partition_{name}", help=help, unit=unit, samples=samples)
