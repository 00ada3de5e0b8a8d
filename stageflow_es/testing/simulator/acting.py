"""The stages of generated pipelines: each plays the acts its node's config lists, in order.

An act is a list, its name first: `["step", name]`, `["emit", name]`, `["wait", type, timeout]`, `["sleep", seconds]`,
`["work", seconds]` (not durable), `["fail", attempts]`, `["hang", attempts]`, `["both", type, timeout, seconds]` (waits
and works at once).
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from stageflow_es.stages import BaseStage, InputSpec


class Work(BaseStage):
    """Plays its acts, and gives its argument's successor."""

    stage_name = "Work"
    timeout = 20
    skipable = True

    async def run(self) -> None:
        value = self.get_arguments().get("value")
        for act, *given in self.config.get("acts", ()):
            await getattr(self, f"_play_{act}")(*given)
        self.set_outputs({"value": (value if isinstance(value, int) else 0) + 1})

    async def _play_step(self, name: str) -> None:
        await self.step(name, _result, name, self.attempt)

    async def _play_emit(self, name: str) -> None:
        self.emit(name, {"attempt": self.attempt})

    async def _play_wait(self, type_: str, timeout: float | None) -> None:
        await self.wait_input(type_, timeout=timeout)

    async def _play_sleep(self, seconds: float) -> None:
        await self.sleep(seconds)

    async def _play_work(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _play_fail(self, attempts: int) -> None:
        if self.attempt <= attempts:
            raise RuntimeError(f"attempt {self.attempt}")

    async def _play_hang(self, attempts: int) -> None:
        if self.attempt <= attempts:
            await asyncio.sleep(1000)

    async def _play_both(self, type_: str, timeout: float, seconds: float) -> None:
        await asyncio.gather(self.wait_input(type_, timeout=timeout), self._play_work(seconds), self.sleep(seconds))


async def _result(name: str, attempt: int) -> dict[str, Any]:
    return {"step": name, "attempt": attempt}


class Retrying(Work):
    stage_name = "Retrying"
    retries = 2


class Patient(Work):
    stage_name = "Patient"
    retries = 2
    retry_delay = 0.4
    retry_backoff = 3


class Hasty(Work):
    stage_name = "Hasty"
    timeout = 1
    retries = 1


class Obstinate(Work):
    """Cannot be skipped."""

    stage_name = "Obstinate"
    skipable = False


class Blocking(Work):
    stage_name = "Blocking"
    blocking = True


class Strict(Work):
    """Takes integers only."""

    stage_name = "Strict"
    retries = 1
    allowed_inputs: ClassVar[list[InputSpec]] = [
        InputSpec(type="a", payload_schema={"type": "integer"}),
        InputSpec(type="b"),
    ]


class Brief(BaseStage):
    """Never awaits."""

    stage_name = "Brief"
    retries = 1

    async def run(self) -> None:
        value = self.get_arguments().get("value")
        for act, *given in self.config.get("acts", ()):
            if act == "emit":
                self.emit(given[0], {})
            elif act == "fail" and self.attempt <= given[0]:
                raise RuntimeError(f"attempt {self.attempt}")
        self.set_outputs({"value": (value if isinstance(value, int) else 0) + 1})


STAGES: tuple[type[BaseStage], ...] = (Work, Retrying, Patient, Hasty, Obstinate, Blocking, Strict, Brief)
