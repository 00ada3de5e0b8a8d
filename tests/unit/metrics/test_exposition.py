"""Families as text: what strict parsers of both formats take."""

from __future__ import annotations

import pytest

from stageflow_es.client import PipelineCounts, SessionCounts
from stageflow_es.engine.vitals import Commits, Ever, Tally, Vitals
from stageflow_es.metrics.engines import _made
from stageflow_es.metrics.exposition import Family, Sample, counter, exposition, gauge
from stageflow_es.metrics.projection import LONGEST_NAME, STATUSES, _sessions
from tests.strict_metrics import numbers

NASTY = 'a"b\\c\nd\r\te{f}=,é\u2028\u0000 # EOF'
EACH = [
    gauge("size", "How large.", 5, unit="bytes"),
    gauge("share", "With a \\ and a\nbreak.", 0.25),
    counter("things", "How many.", 12),
    Family(name="build", help="Which.", kind="info", samples=[Sample({"version": "1"}, 1)]),
    Family(name="named", help="By name.", samples=[Sample({"a": NASTY, "b": ""}, -1.5e-9)]),
]


@pytest.mark.parametrize("openly", [True, False])
def test_both_formats_are_taken_by_their_parsers_with_names_that_end_in_unit_and_total(openly: bool) -> None:
    found = numbers(exposition(EACH, openly=openly), openly=openly)
    assert found["stageflow_size_bytes",] == 5
    assert found["stageflow_share",] == 0.25
    assert found["stageflow_things_total",] == 12
    assert found["stageflow_build_info", "1"] == 1


def test_whatever_is_in_a_label_it_comes_out_as_it_was() -> None:
    found = numbers(exposition(EACH, openly=True))
    assert ("stageflow_named", NASTY, "") in found


def test_what_cannot_be_written_in_utf_8_makes_no_page_fail() -> None:
    family = Family(name="x", help="x", samples=[Sample({"a": "\ud800"}, 1)])
    assert numbers(exposition([family], openly=True)) == {("stageflow_x", "?"): 1}


@pytest.mark.parametrize("openly", [True, False])
def test_a_family_without_numbers_is_left_out(openly: bool) -> None:
    page = exposition([Family(name="x", help="x", samples=[])], openly=openly)
    assert page == (b"# EOF\n" if openly else b"\n")


def test_rounds_are_a_histogram_that_grows_and_starts_anew_with_a_process() -> None:
    now = 0.0
    tally = Tally(lambda: now)
    for took in (0.0005, 0.002, 0.3, 7.0):
        now += took
        tally.round(10, now - took)
    tally.take()
    page = exposition(_made({"e": Vitals(commits=tally.take())}), openly=True)
    found = numbers(page)
    assert found["stageflow_engine_events_total", "e"] == 40
    assert found["stageflow_engine_commit_seconds_count", "e"] == 4
    assert found["stageflow_engine_commit_seconds_sum", "e"] == pytest.approx(7.3025)
    assert [found["stageflow_engine_commit_seconds_bucket", "e", le] for le in ("0.001", "0.0025", "2.5", "+Inf")] == [
        1,
        2,
        3,
        4,
    ]
    again = numbers(exposition(_made({"e": Vitals(commits=Tally(lambda: 0.0).take())}), openly=True))
    assert again["stageflow_engine_events_total", "e"] == 0


def test_an_engine_of_a_release_that_does_not_count_has_no_counters_and_spoils_nobodys() -> None:
    other = Ever(events=5, rounds=3, seconds=1.0, within={"0.7": 2, "0.2": 1})
    members = {"old": Vitals(commits=Commits(events=3)), "new": Vitals(commits=Commits(ever=other))}
    found = numbers(exposition(_made(members), openly=True))
    assert {key[1] for key in found} == {"new"}
    assert found["stageflow_engine_commit_seconds_bucket", "new", "0.2"] == 1


def test_pipelines_are_shown_up_to_a_number_and_a_length_and_the_rest_is_in_the_sums() -> None:
    pipelines = [
        PipelineCounts(pipeline="orders", sessions={"failed": 2}),
        PipelineCounts(pipeline=None, sessions={"waiting": 1}),
        PipelineCounts(pipeline="x" * (LONGEST_NAME + 1), sessions={"failed": 1}),
    ]
    counts = SessionCounts(seq=9, sessions={"failed": 10, "waiting": 1}, pipelines=pipelines, more=4)
    found = numbers(exposition(_sessions(counts), openly=True))
    assert {key[1:]: value for key, value in found.items() if key[0] == "stageflow_sessions"} == {
        (status,): {"failed": 10, "waiting": 1}.get(status, 0) for status in STATUSES
    }
    by_pipeline = {key[1:]: value for key, value in found.items() if key[0] == "stageflow_pipeline_sessions" and value}
    assert by_pipeline == {("orders", "failed"): 2, ("", "waiting"): 1}
    assert found["stageflow_pipelines_left_out",] == 5
