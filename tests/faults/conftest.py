"""A world of its own for every test, with its server up; sessions to put into it, and the audit of all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from stageflow_es.client import Client, connect
from stageflow_es.session import events as ev
from tests.faults import audit
from tests.faults.observer import Observer, outcome_of
from tests.faults.standstill import standstills
from tests.faults.trace import read_trace
from tests.faults.world import World

PATIENCE = 60.0


class Scene:
    """A world, a client and an observer, both straight at the server, and the sessions that were started."""

    def __init__(self, world: World, client: Client, observer: Observer) -> None:
        self.world = world
        self.client = client
        self.observer = observer
        self.expected: dict[str, dict[str, Any] | str] = {}

    async def start(self, sessions: Sequence[str], pipeline: dict[str, Any], expected: dict[str, Any]) -> None:
        for session in sessions:
            self.expected[session] = expected
        starts = [{"session": session, "pipeline": pipeline, "wait": False} for session in sessions]
        await self.client.start_many(starts)

    async def ended(self) -> None:
        """Wait for the end of every session that was started."""
        for session in self.expected:
            await self.observer.ended(session)

    def last_by(self, session: str) -> str:
        """The engine of the session's last event so far."""
        return self.observer.histories[session][-1].by

    def under_way(self) -> list[str]:
        return [session for session in self.expected if outcome_of(self.observer.histories[session]) is None]

    async def next_by(self, session: str, engine: str) -> ev.AnyEvent:
        """The next event of a session, from now on, by that engine; or its end."""
        seen = len(self.observer.histories[session])
        history = await self.observer.until(
            session,
            lambda history: any(event.by == engine for event in history[seen:]) or outcome_of(history) is not None,
        )
        return history[-1]

    async def audit(self) -> list[str]:
        """Everything that is wrong with what is stored, beside the trace."""
        settings = self.world.bus_settings
        histories = await audit.read_histories(self.client.link, settings)
        pipelines = await audit.read_pipelines(self.client.link, histories)
        trace = read_trace(self.world.trace)
        return [
            *audit.chains(histories, pipelines),
            *audit.outcomes(histories, self.expected),
            *audit.once_each(histories),
            *audit.never_again(histories, trace, standstills(self.world.processes, trace)),
            *audit.logs(self.world.processes),
        ]


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """With leases of 4 seconds, or of as many as a test gives as this fixture's parameter."""
    world = World(tmp_path / "world", lease_ttl=getattr(request, "param", 4))
    try:
        await world.start_server()
        await (await world.bus()).close()
        yield world
    finally:
        await world.close()


@pytest.fixture
async def scene(world: World) -> AsyncIterator[Scene]:
    observer = await Observer(world.url, world.bus_settings).start()
    async with connect(world.url, timeout=PATIENCE) as client:
        yield Scene(world, client, observer)
    await observer.close()
