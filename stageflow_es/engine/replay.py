"""Folding a long history without holding up everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from stageflow_es.engine.ports import StoredEvent
from stageflow_es.session import State, apply

AT_ONCE = 250
"""Events folded, in some five milliseconds, before others in the process get their turn."""


async def replay(state: State, history: Sequence[StoredEvent]) -> None:
    """Fold events, in order, into `state`. Raises ChainBroken."""
    for number, stored in enumerate(history, 1):
        apply(state, stored.data, stored.seq)
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
