"""Repeating what must happen in the end: requests whose answer may be lost and whose repetition is harmless."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from stageflow_es.engine.ports import Unanswered

T = TypeVar("T")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


async def surely(request: Callable[[], Awaitable[T]]) -> T:
    """The answer to a harmless request, asked again for as long as none comes. Other errors pass through."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await request()
        except Unanswered:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
