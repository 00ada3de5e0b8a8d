"""Sessions made by the core, put on a memory bus in any order, and what a projection made of them."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from stageflow_es.bus.memory import MemoryBus, MemoryEventFeed
from stageflow_es.pipeline import Pipeline
from stageflow_es.projection import Projector, Store
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
from stageflow_es.session.fold import hash_of
from stageflow_es.testing.scenario import Move, Scenario, completed, sent, waits

TABLES = ("sessions", "labels", "counts", "snapshots", "marks")

STAGES = Pipeline.from_dict(
    {
        "entry": "ask",
        "nodes": [
            {"id": "ask", "type": "stage", "stage": "Ask", "outputs": {"answer": "answer"}, "next": "side"},
            {"id": "side", "type": "parallel", "children": ["left", "right"], "next": "end"},
            {"id": "left", "type": "stage", "stage": "Left"},
            {"id": "right", "type": "stage", "stage": "Right"},
            {"id": "end", "type": "terminal", "result": {"ok": True}, "artifacts": ["answer"]},
        ],
    }
)


def begin(pipeline: str | None = "orders", **labels: str) -> Move:
    """The start of a session with labels."""
    return lambda s: cmd.Start(
        at=s.at, seq=s.next_seq(), id="start", pipeline=pipeline, payload={"n": 1}, labels=labels
    )


def session(name: str, *moves: Move, pipeline: Pipeline = STAGES, after: float = 0) -> Scenario:
    """A session's history; `after`: seconds, the later it began."""
    scenario = Scenario(pipeline).after(after)
    scenario.state = State(name, pipeline)
    return scenario.when(*moves)


ANSWERED = (begin(tier="gold"), waits("answer"), sent("answer", 7), completed(writes={"answer": 7}))
"""A course of a session of `STAGES`."""


def archived(scenario: Scenario, **summary: Any) -> bytes:
    """The event that ends a history in an archive."""
    state = scenario.state
    return ev.encode(
        ev.SessionArchived(
            session=state.session,
            n=state.n + 1,
            at=scenario.at,
            prev=hash_of(scenario.history[-1]),
            head=state.head,
            count=state.n,
            last_command=state.last_command,
            export_digest="e" * 64,
            summary=summary,
        )
    )


class World:
    """A memory bus with histories on it, and projections of it in a directory."""

    def __init__(self, directory: Path) -> None:
        self.bus = MemoryBus()
        self.feed = MemoryEventFeed(self.bus.events)
        self.directory = directory
        self.path = directory / "projection.db"
        self._heads: dict[str, int] = {}

    async def define(self, *pipelines: Pipeline) -> None:
        for pipeline in pipelines:
            await self.bus.definitions.put(pipeline.canonical)

    async def append(self, name: str, *events: bytes) -> None:
        self._heads[name] = await self.bus.events.append(name, events, self._heads.get(name, 0))

    async def mingle(self, scenarios: Sequence[Scenario], seed: int = 1) -> None:
        """Append histories event by event, their order among each other by chance."""
        chance = random.Random(seed)
        waiting = [(scenario.state.session, list(scenario.history)) for scenario in scenarios]
        while waiting:
            name, events = chance.choice(waiting)
            await self.append(name, events.pop(0))
            waiting = [(name, events) for name, events in waiting if events]

    async def project(self, path: Path | None = None, **options: Any) -> None:
        """Run a projector up to the last event there is."""
        async with self.projecting(path, **options) as projector:
            await projector.caught_up(await self.feed.last())

    @asynccontextmanager
    async def projecting(
        self, path: Path | None = None, *, store: Store | None = None, **options: Any
    ) -> AsyncIterator[Projector]:
        """A projector that runs during the block; the block ends with what ended the projector, if that failed."""
        store = store or Store(path or self.path)
        projector = Projector(self.feed, self.bus.definitions, store, **options)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(projector.run())
            yield projector
            await projector.stop()
        await store.close()


def rows(path: Path, *tables: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the tables, in order."""
    with closing(sqlite3.connect(path)) as connection:
        return {table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr) for table in tables or TABLES}


def row(path: Path, name: str) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        return dict(connection.execute("SELECT * FROM sessions WHERE session = ?", (name,)).fetchone())
