"""Which stages can never suspend, told from their code: those run at once, without a task of their own; what the
others give to be awaited; and whether a task of theirs is what runs.

A coroutine whose body has no `await`, `async for` or `async with` runs from its start to its end in one go. Whether
it does can be read off its bytecode, once for each class.
"""

from __future__ import annotations

import asyncio
import dis
from collections.abc import Awaitable
from inspect import isawaitable, iscoroutinefunction

from stageflow_es.errors import StageError
from stageflow_es.stages import BaseStage

_SUSPENDING = frozenset({"GET_AWAITABLE", "GET_AITER", "GET_ANEXT", "BEFORE_ASYNC_WITH", "YIELD_FROM"})

_known: dict[type[BaseStage], bool] = {}
"""As many as there are stage classes; a weak dictionary costs more than all that is asked of it."""


def never_awaits(stage: type[BaseStage]) -> bool:
    """Whether `stage.run` is a coroutine function of its own that cannot suspend, and is not to run in a thread."""
    known = _known.get(stage)
    if known is None:
        known = _known[stage] = _look(stage)
    return known


def _look(stage: type[BaseStage]) -> bool:
    run = stage.run
    if stage.blocking or not iscoroutinefunction(run) or hasattr(run, "__wrapped__"):
        return False
    return not any(instruction.opname in _SUSPENDING for instruction in dis.get_instructions(run.__code__))


def begun(stage: BaseStage) -> Awaitable[None]:
    """What `stage.run()` gives to be awaited. Raises StageError where it is a function that is over by now."""
    given: object = stage.run()
    if isawaitable(given):
        return given
    raise StageError(
        f"run() of stage {stage.stage_name!r} gave {type(given).__name__}, and nothing to await: write it as "
        "`async def run(self)` without `yield`, also where `blocking = True` runs it in a thread"
    )


def running(task: asyncio.Task[None] | None) -> bool:
    """Whether this task is what runs just now: it is not while its coroutine is closed from outside."""
    try:
        return asyncio.current_task() is task
    except RuntimeError:
        return False
