"""Stages are loaded from modules and files."""

from __future__ import annotations

from pathlib import Path

import pytest

from stageflow_es.errors import OperatorError
from stageflow_es.stages import get_stages
from stageflow_es.stages.modules import load_stages

STAGE = """
from stageflow_es import BaseStage, register_stage

@register_stage("{name}")
class Stage(BaseStage):
    async def run(self): ...
"""


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(STAGE.format(name="LoadedFromAFile"))

    load_stages([str(path)])
    first = get_stages()["LoadedFromAFile"]
    load_stages([str(path)])

    assert get_stages()["LoadedFromAFile"] is first


def test_a_module_is_found_in_the_current_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stages_of_this_test.py").write_text(STAGE.format(name="LoadedByName"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["/"])

    load_stages(["stages_of_this_test"])

    assert "LoadedByName" in get_stages()


@pytest.mark.parametrize("module", ["no.such.module", "no_such_file.py"])
def test_what_is_not_there_is_the_operators_error(module: str) -> None:
    with pytest.raises(OperatorError, match=module.replace(".", r"\.")):
        load_stages([module])


def test_a_file_that_imports_what_lies_beside_it_is_told_to_be_named_as_a_module(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("import lies_beside_it")
    with pytest.raises(OperatorError, match=r"No module named 'lies_beside_it'; .*: .* name it as a module"):
        load_stages([str(path)])
