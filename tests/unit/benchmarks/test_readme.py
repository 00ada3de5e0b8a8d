"""The README's figures, made from recorded ones: the tables, the pictures, and their place."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks import plot
from benchmarks.figures import Figure, rate, table
from benchmarks.growth import GROWTHS, Point, panel
from benchmarks.readme import BEGIN, END, README, Unmarked, compared, draw_peers, section, updated
from benchmarks.records import OURS, Machine, Record, Records, read, write


def _record(name: str, *figures: Figure, syncs: float = 5000) -> Record:
    return Record(
        benchmark=name, at="2026-01-02T03:04:05+00:00", seconds=1, syncs=syncs, turns=syncs * 500, figures=list(figures)
    )


def _records(*recorded: Record) -> Records:
    versions = {"python": "3.12.1", "nats-server": "2.15.1"}
    machine = Machine("a processor", 2, 4096, "Linux")
    return Records(command="make bench", machine=machine, versions=versions, records=list(recorded))


BENCH = _records(
    _record("w1", rate("W1, 400 at once", 17_250.4, "steps/s", 15_000), syncs=4000),
    _record("rebuild", Figure("projection, rebuild of 1,000,000 events", 41.26, "s", 60)),
)
PEERS = _records(
    _record(
        OURS, rate("W1, 100 at once", 11_000, "steps/s"), Figure("parked, memory of the engine each, 9", 2048, "B")
    ),
    _record("theirs <&>", rate("W1, 100 at once", 78.4, "steps/s")),
)


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "bench.json", BENCH)
    assert read(tmp_path / "deep" / "bench.json") == BENCH
    assert read(tmp_path / "none.json") is None


def test_a_benchmark_that_ran_again_takes_the_place_of_its_older_figures() -> None:
    again = BENCH.with_new([_record("w1", rate("W1, 400 at once", 20_000, "steps/s"))])
    assert [record.benchmark for record in again.records] == ["w1", "rebuild"]
    assert again.figures["W1, 400 at once"].value == 20_000


def test_the_table_says_which_goals_are_missed() -> None:
    lines = table([Figure("slow", 3, "ms", 2), rate("fast", 2, "/s", 1), Figure("free", 1, "ms")]).splitlines()
    assert [line.endswith("missed") for line in lines] == [True, False, False]


def test_only_what_is_between_the_markers_is_replaced() -> None:
    before = f"# Title\n{BEGIN}\nold\n{END}\nthe rest\n"
    after = updated(before, "new")
    assert after == f"# Title\n{BEGIN}\nnew\n{END}\nthe rest\n"
    assert updated(after, "new") == after


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(Unmarked):
        updated(f"# Title\n{END}\n{BEGIN}\n", "new")


def test_the_readme_has_a_place_for_figures() -> None:
    assert "new" in updated(README.read_text(encoding="utf-8"), "new")


def test_the_section_has_every_figure_with_the_command_and_the_disks_own_speed() -> None:
    text = section(BENCH, PEERS, growth=True)
    assert "| W1, 400 at once | 17,250 steps/s |" in text
    assert "| projection, rebuild of 1,000,000 events | 41.3 s |" in text
    assert "| stageflow_es | 11,000 | - | - | 2 | - |" in text
    assert "`make bench`, 2026-01-02" in text
    assert "4,000 to 5,000 syncs a second, and a processor 2.0 to 2.5 million turns of a Python loop" in text
    assert text.count("<picture>") == 2


def test_of_processors_that_were_not_looked_at_nothing_is_said() -> None:
    records = [msgspec.structs.replace(one, turns=0) for one in BENCH.records]
    text = section(msgspec.structs.replace(BENCH, records=records), None, growth=False)
    assert "4,000 to 5,000 syncs a second." in text


def test_with_nothing_measured_nothing_is_claimed() -> None:
    assert "|" not in section(None, None, growth=False)


def test_the_engines_are_drawn_for_light_and_dark_pages_with_every_value(tmp_path: Path) -> None:
    draw_peers(PEERS, tmp_path)
    for theme in plot.THEMES:
        picture = ElementTree.parse(tmp_path / f"peers-{theme.name}.svg").getroot()
        words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
        assert {OURS, "theirs <&>", "11,000", "78.4"} <= set(words)
        assert len(list(picture.iter("{http://www.w3.org/2000/svg}circle"))) == 3


def test_ours_is_the_first_row_whenever_it_was_measured() -> None:
    theirs, ours = PEERS.records[1], PEERS.records[0]
    assert compared(_records(theirs, ours))[0] == [OURS, theirs.benchmark]


def test_further_to_the_right_is_more() -> None:
    rows, columns = compared(PEERS)
    picture = ElementTree.fromstring(plot.dots("engines", rows, columns[:1], plot.LIGHT))
    ours, theirs = (float(dot.get("cx", "")) for dot in picture.iter("{http://www.w3.org/2000/svg}circle"))
    assert theirs < ours < plot.WIDTH


def test_growth_is_drawn_with_every_point() -> None:
    points = [Point(size, {"one": 2.0 * size, "other": 3.0}) for size in (1, 10, 100)]
    picture = plot.lines("growth", [panel(GROWTHS["stages"], points)] * 3, plot.DARK)
    circles = list(ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}circle"))
    assert len(circles) == 18


def test_what_is_recorded_can_still_be_read() -> None:
    for name in ("bench.json", "peers.json"):
        path = README.parent / "benchmarks" / "results" / name
        if path.exists():
            assert msgspec.json.decode(path.read_bytes(), type=Records).records
