"""What the watchdog keeps of what it has reported: the name."""

from __future__ import annotations

import time
import weakref

from stageflow_es.engine.watchdog import Watchdog


class Run:
    """Something that holds up everybody."""

    name = "stage Hog"


async def test_a_run_that_was_reported_is_not_kept() -> None:
    watchdog = Watchdog(0.01)
    watchdog.doing = run = Run()
    watchdog.start()
    while not watchdog.reports:
        time.sleep(0.001)  # noqa: ASYNC251
    watchdog.doing = None
    gone = weakref.ref(run)
    del run
    watchdog.stop()
    assert gone() is None
    assert "stage Hog" in watchdog.reports
