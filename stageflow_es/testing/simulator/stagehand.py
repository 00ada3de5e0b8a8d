"""Stages on the simulator's stage: the same classes, watched, with the faults only a stage can have."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from inspect import isawaitable
from random import Random
from typing import Any

from stageflow_es.stages import BaseStage
from stageflow_es.testing.simulator.loop import PROCESS
from stageflow_es.testing.simulator.weather import Weather
from stageflow_es.testing.simulator.witness import Witness


class Stagehand:
    """Dresses stage classes for a run. One that blocks runs on the loop, for there are no threads in virtual time;
    it takes a while of the seed's choosing before and after."""

    def __init__(self, witness: Witness, weather: Weather, random: Random) -> None:
        self._witness = witness
        self._weather = weather
        self._random = random

    def dress(self, stage: type[BaseStage]) -> type[BaseStage]:
        """A subclass that tells the witness when a run begins and when it calls a step's function."""
        hand = self
        base: Any = stage

        class Dressed(base):  # type: ignore[misc]
            blocking = False
            _dressed: tuple[Any, dict[str, int]]

            @classmethod
            def bind(cls, **given: Any) -> Any:
                bound = super().bind(**given)
                hand._begin(bound, given["runtime"])
                return bound

            def rebind(self, runtime: Any) -> None:
                super().rebind(runtime)
                hand._begin(self, runtime)

            async def step(self, name: str, function: Callable[..., Any], *args: Any) -> Any:
                return await super().step(name, hand._stepping(self, name, function), *args)

        if stage.blocking:
            Dressed.run = self._elsewhere(base.run)
        Dressed.__name__, Dressed.__doc__ = stage.__name__, stage.__doc__
        return Dressed

    def _begin(self, stage: Any, runtime: Any) -> None:
        process = PROCESS.get()
        if not process.alive:
            raise asyncio.CancelledError
        known = self._witness.begins(process, runtime.session.id, runtime.id)
        stage._dressed = known, {}

    def _stepping(self, stage: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        known, counts = stage._dressed
        runtime = stage._runtime
        count = counts[name] = counts.get(name, -1) + 1

        async def call(*given: Any) -> Any:
            if PROCESS.get().alive:
                self._witness.steps(known, runtime.session.id, runtime.id, f"step:{name}:{count}")
            await self._trouble()
            result = function(*given)
            return await result if isawaitable(result) else result

        return call

    async def _trouble(self) -> None:
        weather = self._weather
        if weather.strikes("slow_step", 0.3):
            try:
                await asyncio.sleep(self._random.uniform(0.1, 9))
            except asyncio.CancelledError:
                if not weather.strikes("stage_ignores_cancel", 0.5):
                    raise
        if weather.strikes("stage_cancels_itself", 0.03):
            raise asyncio.CancelledError

    def _elsewhere(self, run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        async def elsewhere(stage: Any) -> None:
            await asyncio.sleep(self._random.uniform(0, 0.2))
            await run(stage)
            await asyncio.sleep(self._random.uniform(0, 0.2))

        return elsewhere
