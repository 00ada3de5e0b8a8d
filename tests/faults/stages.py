"""Stages that leave a trace outside of the session: a line, synced to disk, before anything they do."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any, ClassVar

from stageflow_es import BaseStage, register_stage

FOLDER = Path(os.environ["TRACE_FOLDER"])
_trace = os.open(FOLDER / "trace", os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what: str, key: str, detail: str = "-") -> None:
    """One line: what, the idempotency key (which names session, scope, node and visit), a detail, the time in ns."""
    os.write(_trace, f"{what} {key} {detail} {time.time_ns()} {os.getpid()}\n".encode())
    os.fsync(_trace)


class Traced(BaseStage):
    """Counts: `value` out is `value` in, and one more."""

    def began(self) -> None:
        note("run", self.idempotency_key)

    def count(self) -> None:
        value = self.get_arguments().get("value")
        self.set_outputs({"value": (value or 0) + 1})


@register_stage("Quick")
class Quick(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    async def run(self) -> None:
        self.began()
        self.count()


@register_stage("Slow")
class Slow(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    config:
      seconds: {type: number, default: 0.03}
    """

    async def run(self) -> None:
        self.began()
        await asyncio.sleep(self.config.get("seconds", 0.03))
        self.count()


@register_stage("Blocking")
class Blocking(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    blocking = True

    async def run(self) -> None:
        self.began()
        time.sleep(0.03)  # noqa: ASYNC251 - it is what the stage is for
        self.count()


@register_stage("Steps")
class Steps(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    async def run(self) -> None:
        self.began()
        made = [await self.step(name, self.make, name) for name in ("one", "two", "three")]
        assert made == ["one", "two", "three"]
        self.count()

    async def make(self, name: str) -> str:
        note("step", self.idempotency_key, name)
        await asyncio.sleep(0.01)
        return name


@register_stage("Flaky")
class Flaky(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    retries = 4
    retry_delay = 0.05

    async def run(self) -> None:
        self.began()
        if self.attempt <= 2:
            raise ValueError("not yet")
        self.count()


@register_stage("Nap")
class Nap(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    config:
      seconds: number
    """

    async def run(self) -> None:
        self.began()
        await self.sleep(self.config["seconds"])
        self.count()


@register_stage("Ask")
class Ask(Traced):
    """
    outputs:
      answers: list
    config:
      count: integer
    """

    skipable = True
    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "answer", "payload_schema": {"type": "integer"}}]

    async def run(self) -> None:
        self.began()
        answers = []
        for _ in range(self.config["count"]):
            answer = await self.wait_input("answer")
            assert answer is not None
            answers.append(answer["payload"])
        self.set_outputs({"answers": answers})


@register_stage("Impatient")
class Impatient(Traced):
    """
    outputs:
      answers: list
    """

    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "answer", "payload_schema": {"type": "integer"}}]

    async def run(self) -> None:
        self.began()
        self.set_outputs({"answers": [await self.wait_input("answer", timeout=1.5)]})


@register_stage("Sickly")
class Sickly(Traced):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    async def run(self) -> None:
        self.began()
        if not (FOLDER / f"healed-{self.session.id}").exists():
            raise RuntimeError("sick")
        self.count()


@register_stage("LongSteps")
class LongSteps(Steps):
    """
    arguments:
      value: {type: integer, optional: true}
    outputs:
      value: integer
    """

    async def make(self, name: str) -> str:
        note("step", self.idempotency_key, name)
        await asyncio.sleep(0.3)
        return name
