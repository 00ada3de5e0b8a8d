"""What of failing stages is logged."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from stageflow_es.engine.failures import SHOWN, WITHIN, Failures


class Watched:
    """Failures by a clock that only moves when told, and what was logged of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.failures = Failures(lambda: self.now)

    def fail(self, stage: str, times: int = 1) -> list[dict[str, Any]]:
        with capture_logs() as logged:
            for number in range(times):
                self.failures.note(stage, f"stage {stage} of session s{number}", ValueError("broken"))
        return list(logged)


def test_of_a_flood_the_first_are_logged_and_the_rest_counted() -> None:
    watched = Watched()
    assert [entry["event"] for entry in watched.fail("Doomed", 10_000)] == ["stage_failed"] * SHOWN
    watched.now = WITHIN
    with capture_logs() as logged:
        watched.failures.tell()
        watched.failures.tell()
    (said,) = logged
    assert (said["event"], said["stage"], said["count"]) == ("stage_failures_not_shown", "Doomed", 10_000 - SHOWN)
    assert len(watched.fail("Doomed")) == 1


def test_another_stage_that_fails_meanwhile_is_seen_at_once() -> None:
    watched = Watched()
    watched.fail("Doomed", 10_000)
    (entry,) = watched.fail("Other")
    assert "Other" in entry["by"]
    assert entry["exception"].endswith("ValueError: broken\n")


def test_what_was_not_shown_is_said_at_the_end() -> None:
    watched = Watched()
    watched.fail("Doomed", SHOWN + 2)
    with capture_logs() as logged:
        watched.failures.tell(at_last=True)
    assert [entry["count"] for entry in logged] == [2]
