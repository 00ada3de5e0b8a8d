"""Stages that take time, and what tests in virtual time ask of the sessions that run them."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec

from stageflow_es import BaseStage, Pipeline, Session, register_stage

from .stages import end, pipeline, stage

START = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = 3600
DAY = 24 * HOUR
REAL = 0.03
"""Seconds that something outside takes; a clock that ran ahead of it would have jumped an hour."""


def work() -> None:
    """Block for a while."""
    time.sleep(REAL)


@register_stage("TimeSleeps")
class Sleeps(BaseStage):
    async def run(self) -> None:
        for _ in range(self.config.get("times", 1)):
            await self.sleep(self.config["seconds"])


@register_stage("TimeReminds")
class Reminds(BaseStage):
    """Waits a day, reminds, and waits on."""

    async def run(self) -> None:
        answer = await self.wait_input("approval", timeout=DAY)
        if answer is None:
            self.emit("reminder")
            answer = await self.wait_input("approval")
        assert answer is not None
        self.set_outputs({"answer": answer["payload"]})


@register_stage("TimeFails")
class Fails(BaseStage):
    retries = 3
    retry_delay = 60
    retry_backoff = 2

    async def run(self) -> None:
        raise RuntimeError(f"attempt {self.attempt}")


@register_stage("TimeHangs")
class Hangs(BaseStage):
    async def run(self) -> None:
        await asyncio.Event().wait()


@register_stage("TimeBlocks")
class Blocks(BaseStage):
    """Blocks, waits, and blocks in a step."""

    blocking = True

    async def run(self) -> None:
        work()
        await self.sleep(30 * DAY)
        await self.step("again", work)
        answer = await self.wait_input("go", timeout=DAY)
        self.set_outputs({"answer": answer})


@register_stage("TimeBlocksOn")
class BlocksOn(BaseStage):
    blocking = True
    timeout = 0.05
    release: ClassVar[threading.Event] = threading.Event()

    async def run(self) -> None:
        self.release.wait()


def one(name: str, **fields: Any) -> Pipeline:
    """A pipeline of one stage."""
    return pipeline(stage("one", name, outputs={"answer": "a"}, **fields), end("a"))


def told(session: Session) -> list[tuple[str, timedelta]]:
    """The session's events, each with the time since the clock's start."""
    events = [msgspec.json.decode(data) for data in session.events]
    return [(event["type"], datetime.fromisoformat(event["at"]) - START) for event in events]


def when(session: Session, type_: str) -> list[timedelta]:
    return [at for event, at in told(session) if event == type_]


def hours(*numbers: float) -> list[timedelta]:
    return [timedelta(hours=number) for number in numbers]
