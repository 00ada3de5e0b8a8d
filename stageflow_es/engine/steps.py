"""What a step may not do: once its result is recorded its function is not called again, and a repeated run would miss
whatever else the stage did in there, or take what it does later for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar

from stageflow_es.errors import StageError

_NONE = None, ""

_inside: ContextVar[tuple[Steps | None, str]] = ContextVar("inside_step", default=_NONE)
"""Whose step is under way here, and its name; tasks that a step begins inherit it."""


class Steps:
    """Those of one run. Refers to nothing, for a task that a step leaves behind keeps it."""

    __slots__ = ()

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """A step's function runs inside the block."""
        token = _inside.set((self, name))
        try:
            yield
        finally:
            with suppress(ValueError):  # the coroutine is closed, from another context
                _inside.reset(token)

    def refuse(self, what: str) -> None:
        """Raises StageError when a step's function, or a task it began, is what does this."""
        owner, name = _inside.get()
        if owner is self:
            raise StageError(
                f"a stage cannot {what} inside its step {name!r}, which is not done again once its result is recorded: "
                "do that before the step or after it, with what the step returns"
            )
