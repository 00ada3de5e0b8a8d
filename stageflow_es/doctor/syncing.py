"""Whether what is acknowledged is on disk: when the server syncs. A stopwatch hints at it and proves nothing."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from secrets import token_hex
from statistics import median

from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.insight import Inside
from stageflow_es.doctor.patient import ANSWER_WITHIN, Patient
from stageflow_es.engine.ports import BusError

ROUNDS = 15
QUICK = 0.00005
"""Seconds: no disk is known to be done with a sync in so little."""
MUCH = 5
"""How many times quicker than this machine's disk a server's may be without a word about it."""
_ABOUT = "sync_interval"
_NANOSECONDS = 1_000_000_000
_CONFIG = "jetstream { sync_interval: always }"


async def syncing(patient: Patient) -> list[Finding]:
    """What each server that shows says of itself."""
    servers = [server for server in patient.insight.servers if server.config is not None]
    if not servers:
        return [_not_visible(patient)]
    return [_of(server, patient) for server in servers]


def _of(server: Inside, patient: Patient) -> Finding:
    assert server.config is not None
    named = f" on {server.name}" if server.name and server.server_id != server.name else ""
    connected = patient.link.client.server_info.get("server_id")
    other = (
        ""
        if server.server_id == connected or len(patient.insight.servers) > 1
        else ", which is not the server asked here"
    )
    if server.config.sync_always:
        means = "what was acknowledged survives a power cut"
        return Finding(severity="ok", about=_ABOUT, says=f"always{named}{other}", means=means)
    every = server.config.sync_interval / _NANOSECONDS
    return Finding(
        severity="warning",
        about=_ABOUT,
        says=f"every {every:g} s{named}{other}",
        means=f"what was acknowledged survives the death of any process, but a power cut or a crash of the machine may "
        f"take the last {every:g} s of it" + (", where it hits all copies at once" if _copies(patient) > 1 else ""),
        do=f"{_CONFIG} in the server's configuration, and restart it",
    )


def _copies(patient: Patient) -> int:
    info = patient.info(patient.names.events)
    return 1 if info is None else int(info["config"].get("num_replicas", 1))


def _not_visible(patient: Patient) -> Finding:
    return Finding(
        severity="unknown",
        about=_ABOUT,
        says="not visible to this user" + (f": {patient.insight.problem}" if patient.insight.problem else ""),
        means="whether what was acknowledged survives a power cut cannot be said; with NATS's default (two minutes) "
        "the last of it may not",
        do="say --monitor http://HOST:8222 (the server's monitoring port) or --system URL (a user of its system "
        f"account), or look for sync_interval in the server's configuration; it should be: {_CONFIG}",
    )


async def measure(patient: Patient) -> list[Finding]:
    """How long a durable write takes, against a question and a sync of this machine. It writes keys that vanish after
    a second."""
    subject = f"$KV.{patient.names.engines}.doctor.{token_hex(6)}"
    questions, writes = [], []
    try:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await patient.link.client.flush(ANSWER_WITHIN)
            asked = time.perf_counter()
            await patient.link.store(subject, b"{}", {"Nats-TTL": "1s"})
            questions.append(asked - began)
            writes.append(time.perf_counter() - asked)
    except (BusError, ApiError, TimeoutError, OSError) as problem:
        return [Finding(severity="unknown", about="write latency", says=f"could not be measured: {problem}")]
    here = await asyncio.to_thread(_sync_here)
    write, question = median(writes), median(questions)
    says = (
        f"a durable write takes {write * 1e3:.2f} ms at the median of {ROUNDS}, a ping {question * 1e3:.2f} ms; a sync "
        f"of this machine's temporary directory {here * 1e3:.2f} ms"
    )
    if write - question < QUICK:
        means = "that is too little for a disk: this server can hardly be syncing every write"
        return [Finding(severity="warning", about="write latency", says=says, means=means)]
    means = "a hint at best, and never a proof: only the server's configuration says when it syncs"
    if write - question < here / MUCH:
        means = f"unless the server's disk is much faster, it does not sync every write; {means}"
    return [Finding(severity="note", about="write latency", says=says, means=means)]


def _sync_here() -> float:
    """Seconds a small write and its sync take in the temporary directory, at the median."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(ROUNDS):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 100)
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took)
