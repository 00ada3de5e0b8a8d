"""Where stages raised, in the log: bounded, for stages may fail by the thousand each second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from stageflow_es.log import logger, traceback_of

log = logger(__name__)

SHOWN = 5
"""Failures of one stage that are logged within `WITHIN` seconds; of more it is said how many they were."""
WITHIN = 10.0


@dataclass(slots=True)
class _Window:
    until: float
    shown: int = 0
    left_out: int = 0


class Failures:
    """What the stages of one engine raised. `time`: in seconds."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._windows: dict[str, _Window] = {}

    def note(self, stage: str, by: str, error: BaseException) -> None:
        """Log a failure of a stage, and which run of it that was, unless as many were logged just now."""
        with suppress(Exception):  # where nothing can be logged, the session goes on all the same
            self.tell()
            window = self._windows.setdefault(stage, _Window(self._time() + WITHIN))
            if window.shown < SHOWN:
                window.shown += 1
                log.warning("stage_failed", by=by, exception=traceback_of(error))
            else:
                window.left_out += 1

    def tell(self, *, at_last: bool = False) -> None:
        """Say how many failures were not logged where the time for that has come, or whatever there is `at_last`."""
        now = self._time()
        for stage in [name for name, window in self._windows.items() if at_last or window.until <= now]:
            left_out = self._windows.pop(stage).left_out
            with suppress(Exception):
                if left_out:
                    log.warning("stage_failures_not_shown", stage=stage, count=left_out, within=WITHIN)
