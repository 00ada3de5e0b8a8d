"""A docstring that begins as YAML and is none is told to its author; the stage runs as well as before."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path

import pytest
import structlog

from services.logs import log_as_json
from stageflow_es import Pipeline, Session
from stageflow_es.cli import main
from stageflow_es.stages import catalog
from stageflow_es.stages.docstring import describe
from stageflow_es.stages.flawed import DocstringWarning
from stageflow_es.stages.modules import load_stages

COLON = "mapping values are not allowed here"
STAGES = '''
from stageflow_es import BaseStage, register_stage


@register_stage("{name}")
class Charge(BaseStage):
    retries = 2
    """
    not the docstring
    """

    async def run(self): ...


@register_stage("{name}Flawed")
class Flawed(BaseStage):
    """
    description: "Charges the card"
    arguments:
      amount: number, in cents: whole ones
    """

    async def run(self): ...
'''
LINE = 20
"""Of the flaw."""


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("\n    description: Charges: the card\n    arguments: [x]\n    ", COLON, 1),
        ("description: d\n    arguments:\n      x: a: b\n    ", COLON, 2),
        ("\n\n    Charges the card.\n\n    arguments:\n      amount: number\n    ", COLON, 4),
        ("\n    Charges: the card.\n\n    outputs: {x: number\n    ", "while parsing a flow mapping, expected", 3),
        ('\n    outputs:\n      x: "a', "while scanning a quoted scalar, found unexpected end of stream", 2),
        ("config:\n  day: 2024-99-99", "month must be in 1..12", 0),
    ],
)
def test_what_begins_as_yaml_and_is_none_has_a_flaw_on_one_of_its_lines(text: str, problem: str, line: int) -> None:
    described = describe(text)
    assert described.flaw is not None
    assert described.flaw.problem.startswith(problem)
    assert described.flaw.line == line
    assert (described.arguments, described.config, described.outputs) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "Charges: the card: once.",
        "Charges the card.\n\n    config: see the wiki: page 2\n    ",
        "Charges the card.\n\n    The arguments: an amount: in cents.\n\n        outputs:\n          x: y\n    ",
        "Descriptions: of: what it does.\n\nArguments:\n    amount: in cents\n",
        "\n    description: d\n    arguments:\n      x: 'a: b'\n    ",
    ],
)
def test_prose_has_none(text: str | None) -> None:
    assert describe(text).flaw is None


def test_its_author_is_told_once_which_stage_it_is_and_where(tmp_path: Path) -> None:
    path = tmp_path / "flawed_stages.py"
    path.write_text(STAGES.format(name="ToldOnce"))
    load_stages([str(path)])
    with pytest.warns(DocstringWarning) as told:
        specs = catalog()
    catalog()
    (one,) = told
    assert (one.filename, one.lineno) == (str(path), LINE)
    assert f"the docstring of stage 'ToldOnceFlawed' begins as YAML and is none: {COLON}. It is" in str(one.message)
    assert specs["ToldOnceFlawed"].arguments is None


def test_a_stage_with_a_flawed_docstring_runs(tmp_path: Path) -> None:
    path = tmp_path / "running_stages.py"
    path.write_text(STAGES.format(name="Running"))
    load_stages([str(path)])
    node = {"id": "a", "type": "stage", "stage": "RunningFlawed", "arguments": {"whatever": "x"}, "next": "end"}
    end = {"id": "end", "type": "terminal", "result": {"status": "ok"}}
    with pytest.warns(DocstringWarning, match="RunningFlawed"):
        pipeline = Pipeline.from_dict({"entry": "a", "nodes": [node, end]})
    assert asyncio.run(Session("s", pipeline).run()).result == {"status": "ok"}


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_line_says_it_on_stderr(as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"told_stages_{as_json}.py"
    path.write_text(STAGES.format(name=f"ToldOnStderr{as_json}"))
    example = str(Path(__file__).parents[3] / "examples" / "count_up.json")
    assert main(["validate", example, "--stages", str(path), *(["--json"] if as_json else [])]) == 0
    said = capsys.readouterr().err
    if as_json:
        found = json.loads(said)
        assert (found["file"], found["line"]) == (str(path), LINE)
        assert COLON in found["warning"]
    else:
        assert said.startswith(f"stageflow: warning: {path}:{LINE}: the docstring of stage 'ToldOnStderrFalseFlawed'")


@pytest.mark.filterwarnings("default")
def test_a_service_logs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logged_stages.py"
    path.write_text(STAGES.format(name="Logged"))
    load_stages([str(path)])
    before = structlog.get_config()
    try:
        with warnings.catch_warnings():
            log_as_json()
            catalog()
    finally:
        structlog.configure(**before)
    logged = json.loads(capsys.readouterr().err)
    assert (logged["level"], logged["file"], logged["line"]) == ("warning", str(path), LINE)
    assert "'LoggedFlawed'" in logged["warning"]
