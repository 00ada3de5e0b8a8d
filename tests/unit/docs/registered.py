"""The registry as a test wants it: other tests register stages of their own in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stageflow_es.stages import builtin, registry

BUILTIN = sorted(builtin.__all__)


@contextmanager
def builtin_stages() -> Iterator[None]:
    """Only the built-in stages are registered, and what a test registers is forgotten afterwards."""
    stages = dict(registry._stages)
    for name in stages.keys() - set(BUILTIN):
        del registry._stages[name]
    try:
        yield
    finally:
        registry._stages.clear()
        registry._stages.update(stages)
