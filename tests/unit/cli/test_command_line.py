"""The command line where no server is needed: help, mistakes, and what reaches the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stageflow_es.cli import console, main
from stageflow_es.cli.registry import COMMANDS
from stageflow_es.cli.up import announce

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(
        f"    {name} " in printed and summary in " ".join(printed.split()) for name, (_, summary) in COMMANDS.items()
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"stageflow {name}" in capsys.readouterr().out


def test_help_loads_neither_nats_nor_rich() -> None:
    """What is slow to import is imported by the command that needs it."""
    program = "import sys; from stageflow_es.cli import main; main(['--help']); main(['start', '--help']);"
    check = "print([m for m in ('nats', 'rich', 'jsonschema', 'aiosqlite') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program + check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_importing_the_package_loads_none_of_its_rooms_but_says_which_release_it_is() -> None:
    program = "import sys, stageflow_es; print([m for m in sys.modules if m.startswith(('stageflow_es.', 'nats'))])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['stageflow_es.release']"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["start"],
        ["start", "p", "{not json"],
        ["start", "p", "[1]"],
        ["start", "p", "@/no/such/file"],
        ["start", "p", "--set", "novalue"],
        ["start", "/no/such/file.json"],
        ["start", "p", "--watch", "--wait"],
        ["register", "name", "not-a-file"],
        ["start", "p", "--set", "=1"],
        ["start", "p", "--set", "order.total=10"],
        ["fork", "s", "--set", "order.total=10"],
        ["list", "--label", "tier"],
        ["start", "p", "--set", "name=\udcff"],
        ["start", "p", "--patience", "nan"],
        ["start", "p", "--wait", "--timeout", "-1"],
        ["up", "--port", "65536"],
        ["stop", "s", "--dry-run"],
        ["archive", "-o", "exports", "s", "--dry-run"],
    ],
)
def test_a_wrong_command_line_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2


def test_set_refuses_what_looks_like_a_path_and_says_what_to_give(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "p", "--set", "order.total=10"]) == 2
    assert "give all of 'order' as JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prefix", "exported"),
    [("stageflow", "NATS_URL=nats://h:1"), ("shop", "NATS_URL=nats://h:1 STAGEFLOW_PREFIX=shop")],
)
def test_up_says_how_to_connect_and_what_to_try_where_that_is_there(
    prefix: str,
    exported: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    announce(prefix, directory=tmp_path, url="nats://h:1", metrics=None)
    printed = capsys.readouterr().out
    assert f"export {exported}\n" in printed
    assert "try" not in printed

    monkeypatch.chdir(EXAMPLES.parent)
    announce(prefix, directory=tmp_path, url="nats://h:1", metrics=None)
    assert "stageflow start examples/count_up.json" in capsys.readouterr().out


def test_no_server_is_one_line_and_exit_code_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "x", "--server", "nats://127.0.0.1:1"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert "nats://127.0.0.1:1" in printed.err
    assert "stageflow up" in printed.err


@pytest.mark.parametrize("address", ["nats://", "nats://[::1", "nats://host:65536", ","])
def test_an_address_that_is_none_is_one_line_and_exit_code_3(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--server", address]) == 3
    assert capsys.readouterr().err.count("\n") == 1


def test_a_prefix_that_is_none_is_named_and_nothing_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--prefix", "a b", "--server", "nats://127.0.0.1:1"]) == 3
    assert "the bus prefix 'a b'" in capsys.readouterr().err


def test_no_server_is_a_json_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "x", "--server", "nats://127.0.0.1:1", "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["exit"] == 3


def test_a_good_pipeline_is_valid(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(EXAMPLES / "order_approval.json")
    assert main(["validate", file, "--stages", str(EXAMPLES / "order_stages.py")]) == 0
    assert capsys.readouterr().out == f"{file}: ok\n"


def test_every_problem_is_a_line_with_file_place_and_pointer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.json"
    nodes = [{"id": "a", "type": "stage", "stage": "NoSuchStage", "next": "nowhere"}]
    file.write_text(json.dumps({"entry": "a", "nodes": nodes}, indent=2))

    assert main(["validate", str(file)]) == 1

    printed = capsys.readouterr()
    assert "name the module of yours with --stages" in printed.err
    first, second = printed.out.splitlines()
    assert first.startswith(f"{file}:8:15: error: /nodes/0/next: there is no node 'nowhere'")
    assert second.startswith(f"{file}:7:16: error: /nodes/0/stage: there is no stage 'NoSuchStage'")


def test_who_named_a_module_of_stages_is_not_told_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.json"
    file.write_text('{"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "NoSuchStage"}]}')
    assert main(["validate", str(file), "--stages", str(EXAMPLES / "order_stages.py")]) == 1
    assert capsys.readouterr().err == ""


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "twice.json"
    file.write_text('{"entry": "a",\n "nodes": [{"id": "a", "type": "terminal", "id": "a"}]}')

    assert main(["validate", str(file), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["line"], found["column"], found["path"]) == (2, 50, "/nodes/0/id")
    assert "'id' stands in this object twice (first on line 2, column 13)" in found["message"]

    assert main(["register", "name", str(file)]) == 2
    assert "stands in this object twice" in capsys.readouterr().err


def test_a_file_that_is_not_json_is_a_problem_of_that_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text("{")
    missing = tmp_path / "missing.json"

    assert main(["validate", str(tmp_path / "bad.json"), str(missing), "--json"]) == 1

    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["message"].startswith("not JSON")
    assert second["file"] == str(missing)


def test_stages_that_cannot_be_loaded_are_exit_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.py").write_text("raise ValueError('oops')")
    assert main(["validate", "x.json", "--stages", str(tmp_path / "broken.py")]) == 3
    assert "oops" in capsys.readouterr().err


def test_text_of_strangers_does_nothing_to_the_terminal() -> None:
    assert console.plain("a\x1b[2Jb\u202e\n") == "a\\x1b[2Jb\\u202e\\n"
    assert console.as_json_lines({"a": [None, "b\x9b\u202e\né"]}) == (
        '{\n  "a": [\n    null,\n    "b\\x9b\\u202e\\né"\n  ]\n}'
    )


def test_a_file_named_like_a_session_that_is_no_history_tells_that_it_was_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, told in (("order-117", True), ("order.117", False)):
        Path(name).write_text("just a file")
        for command in ("verify", "explain", "replay"):
            assert main([command, name]) == 2
            assert ("the session is meant" in capsys.readouterr().err) == told


def test_an_option_that_a_command_has_not_got_is_answered_with_those_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", "p.json", "--payload", "{}"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: stageflow start ")
    assert "stageflow start: error: unrecognized arguments: --payload" in said  # 3.14 has taken the {} by then
