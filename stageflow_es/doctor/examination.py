"""The whole examination: every check in order, each within its time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from stageflow_es.client import Client
from stageflow_es.doctor import backlog, clocks, engines, projection, rights, server, streams, syncing
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.insight import Insight
from stageflow_es.doctor.patient import Patient, unseen
from stageflow_es.doctor.rights import Role
from stageflow_es.errors import StageFlowError

CHECK_WITHIN, ALL_WITHIN = 8.0, 30.0
"""Seconds one check may take, and all of them."""

Check = Callable[[Patient], Awaitable[list[Finding]]]


async def examine(
    client: Client, *, insight: Insight | None = None, role: Role | None = None, measure: bool = False
) -> list[Finding]:
    """Everything there is to say about the bus of a client. Raises nothing for what is wrong with it.

    `insight`: what `look_inside` found. `role`: what this user is meant to be. `measure`: also time durable writes,
    which stores keys that vanish after a second.
    """
    patient = Patient(client, insight or Insight())
    checks: list[tuple[str, Check]] = [
        ("version", server.version),
        ("JetStream", server.jetstream),
        ("streams", _look),
        ("sync_interval", syncing.syncing),
        ("replicas", streams.copies),
        ("message size", server.sizes),
        ("room", streams.room),
        ("clock", clocks.clocks),
        ("permissions", lambda patient: rights.rights(patient, role)),
        ("engines", engines.engines),
        ("backlog", backlog.backlog),
        ("projection", projection.projection),
    ]
    if measure:
        checks.insert(4, ("write latency", syncing.measure))
    findings: list[Finding] = []
    end = asyncio.get_running_loop().time() + ALL_WITHIN
    for about, check in checks:
        findings += await _bounded(about, check, patient, end)
    return findings


async def _look(patient: Patient) -> list[Finding]:
    await patient.look_at_streams()
    return await streams.streams(patient)


async def _bounded(about: str, check: Check, patient: Patient, end: float) -> list[Finding]:
    try:
        async with asyncio.timeout_at(min(end, asyncio.get_running_loop().time() + CHECK_WITHIN)):
            return await check(patient)
    except TimeoutError:
        return [unseen(about, "the server did not answer in time")]
    except (StageFlowError, OSError, msgspec.MsgspecError) as problem:
        return [unseen(about, problem)]
    except (LookupError, TypeError, ValueError) as problem:
        return [unseen(about, f"the server answers what nobody expects ({type(problem).__name__}: {problem})")]
