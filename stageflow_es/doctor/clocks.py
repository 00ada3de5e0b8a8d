"""The clocks: whether those of this machine and of the engines agree with the server's."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from stageflow_es.bus.jetstream.link import ApiError
from stageflow_es.bus.jetstream.subjects import token
from stageflow_es.doctor.engines import entry, members
from stageflow_es.doctor.finding import Finding
from stageflow_es.doctor.patient import Patient, Unseen
from stageflow_es.engine.vitals import Vitals

SKEW = 2.0
"""Seconds between two clocks that are worth a word."""
_DO = "keep the clocks of servers and engines in step (NTP)"


class _Alive(msgspec.Struct, frozen=True):
    vitals: Vitals = Vitals()


async def clocks(patient: Patient) -> list[Finding]:
    """Whether all agree with the server's."""
    here = await _of_this_machine(patient)
    return [*here, *[_wrong(name, skew) for name, skew in await _of_engines(patient) if abs(skew) > SKEW]]


async def _of_this_machine(patient: Patient) -> list[Finding]:
    began = datetime.now(UTC)
    try:
        told = (await patient.api(f"STREAM.INFO.{patient.names.events}")).get("ts")
    except (ApiError, Unseen):
        return []
    if told is None:
        return []
    here = began + (datetime.now(UTC) - began) / 2
    skew = (datetime.fromisoformat(told) - here).total_seconds()
    if abs(skew) <= SKEW:
        return [Finding(severity="ok", about="clock", says=f"this machine and the server agree to {abs(skew):.2f} s")]
    return [
        Finding(
            severity="warning",
            about="clock",
            says=f"the server's clock is {_apart(skew)} this machine's",
            means="an engine here would set its timers by its own clock, and the server fires them by its own",
            do=_DO,
        )
    ]


async def _of_engines(patient: Patient) -> list[tuple[str, float]]:
    """By how many seconds the clock of each engine is ahead, of those that say: what one writes down as its time when
    it says that it is alive, the server stores at its own."""
    found = []
    with suppress(Unseen):  # `engines` says so
        for name in await members(patient):
            said = await entry(patient, f"member.{token(name)}")
            clock = None if said is None else msgspec.json.decode(said.data, type=_Alive).vitals.clock
            if said is not None and clock is not None:
                found.append((name, (clock - said.at).total_seconds()))
    return found


def _wrong(engine: str, skew: float) -> Finding:
    return Finding(
        severity="warning",
        about=f"engine {engine}",
        says=f"its clock is {_apart(skew)} the server's",
        means="what it sets for a time to come, such as the end of a wait, comes as much too "
        + ("late" if skew > 0 else "early"),
        do=_DO,
    )


def _apart(skew: float) -> str:
    return f"{abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'}"
