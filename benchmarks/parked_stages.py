"""The stages of `parked.py`: one that waits for an input, one that never ends."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from stageflow_es import BaseStage, register_stage


@register_stage("Wait")
class Wait(BaseStage):
    """Waits for its answer."""

    allowed_inputs: ClassVar[list[dict[str, Any]]] = [{"type": "answer"}]

    async def run(self) -> None:
        await self.wait_input("answer")


@register_stage("Never")
class Never(BaseStage):
    """Runs until its engine ends."""

    timeout = None

    async def run(self) -> None:
        await asyncio.Event().wait()
