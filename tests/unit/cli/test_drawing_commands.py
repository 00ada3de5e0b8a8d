"""`stageflow graph` and `stageflow docs`: what they print and write, and how they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from stageflow_es.cli import main
from stageflow_es.stages import get_stages

EXAMPLES = Path(__file__).parents[3] / "examples"
ORDER = str(EXAMPLES / "order_approval.json")
STAGES = str(EXAMPLES / "order_stages.py")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*_*.json")), ids=lambda file: file.stem)
def test_every_example_can_be_drawn(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["graph", str(file)]) == 0
    assert main(["graph", str(file), "-o", str(tmp_path / "drawn.svg")]) == 0
    assert ElementTree.parse(tmp_path / "drawn.svg").getroot().tag.endswith("svg")
    printed = capsys.readouterr().out
    for node in json.loads(file.read_text())["nodes"]:
        assert node["id"] in printed


def test_a_picture_can_go_to_stdout(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["graph", ORDER, "-o", "-"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"<svg")


def test_names_do_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"entry": "\x1b[2J", "nodes": [{"id": "\x1b[2J", "type": "terminal"}]}))
    assert main(["graph", str(tmp_path / "p.json")]) == 0
    assert "\\x1b[2J" in capsys.readouterr().out


def test_a_wrong_definition_is_refused_with_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.json").write_text('{"entry": "a", "nodes": [{"id": "b", "type": "stage"}]}')
    assert main(["graph", str(tmp_path / "p.json")]) == 1
    printed = capsys.readouterr().err
    assert "/entry" in printed
    assert "/nodes/0" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["graph"],
        ["graph", ORDER, "--session", "s"],
        ["graph", "/no/such.json"],
        ["graph", ORDER, "-o", "/no/such/place.svg"],
        ["docs"],
        ["docs", "-o", "/dev/null/x"],
        ["docs", "-o", "x", "/no/such.json"],
    ],
)
def test_what_cannot_be_read_or_written_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_page_comes_with_the_schema_and_the_stages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = tmp_path / "deep" / "site"
    assert main(["docs", "-o", str(where), "--stages", STAGES, ORDER]) == 0
    names = ["index.html", "pipeline.schema.json", "stages.json"]
    assert capsys.readouterr().out.splitlines() == [str(where / name) for name in names]
    assert sorted(path.name for path in where.iterdir()) == names
    assert set(json.loads((where / "stages.json").read_text())) == set(get_stages())
    schema = json.loads((where / "pipeline.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(json.loads(Path(ORDER).read_text()))
    assert "order_approval" in (where / "index.html").read_text()


def test_a_pipeline_that_is_wrong_leaves_the_page_that_was_there(tmp_path: Path) -> None:
    assert main(["docs", "-o", str(tmp_path)]) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "wrong.json").write_text("{}")
    assert main(["docs", "-o", str(tmp_path), str(tmp_path / "wrong.json")]) == 1
    assert {
        path.name: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".json" or path.stem != "wrong"
    } == before
