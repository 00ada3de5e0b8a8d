"""`doctor` sent to a server, and what of its findings is about a thing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stageflow_es.client import connect
from stageflow_es.doctor import Finding, examine, look_inside
from stageflow_es.doctor.rights import Role

WITHIN = 40.0


async def examined(
    url: str,
    prefix: str,
    *,
    role: Role | None = None,
    monitor: str | None = None,
    system: str | None = None,
    measure: bool = False,
) -> list[Finding]:
    async with asyncio.timeout(WITHIN), connect(url, prefix=prefix) as client:
        insight = await look_inside(client.link.client, monitor=monitor, system=system)
        return await examine(client, insight=insight, role=role, measure=measure)


def about(findings: list[Finding], what: str) -> list[Finding]:
    return [finding for finding in findings if finding.about.startswith(what)]


def one(findings: list[Finding], what: str) -> Finding:
    found = about(findings, what)
    assert len(found) == 1, found
    return found[0]


async def until(url: str, prefix: str, seen: Callable[[list[Finding]], bool]) -> list[Finding]:
    """Examine again and again, until it is seen."""
    end = asyncio.get_running_loop().time() + 20
    while not seen(findings := await examined(url, prefix)):
        assert asyncio.get_running_loop().time() < end, findings
        await asyncio.sleep(0.05)
    return findings
