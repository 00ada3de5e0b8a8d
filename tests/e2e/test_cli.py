"""The command line as people and programs use it: real processes against `stageflow up`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from stageflow_es.cli import main
from tests.strict_metrics import numbers

EXAMPLES = Path(__file__).parents[2] / "examples"
STAGEFLOW = [sys.executable, "-m", "stageflow_es.cli"]

Run = Callable[..., subprocess.CompletedProcess[str]]
Call = Callable[..., str]


class Up:
    """`stageflow up` as a process, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        stages = str(EXAMPLES / "order_stages.py")
        command = [*STAGEFLOW, "up", "--json", "--port", "0", "--metrics", "0", "--stages", stages]
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read() if self.process.stderr else ""
        said = json.loads(line)
        self.url: str = said["url"]
        self.metrics: str = said["metrics"]

    def stop(self) -> tuple[int, str]:
        """Ctrl-C, which a terminal sends to the whole group; the exit code, and what it said on stderr."""
        os.killpg(self.process.pid, signal.SIGINT)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    running = Up(tmp_path_factory.mktemp("up"))
    yield running
    running.stop()


@pytest.fixture
def run(up: Up) -> Run:
    """Run a command against `up`."""

    def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*STAGEFLOW, *arguments],
            cwd=EXAMPLES.parent,
            env={**os.environ, "NATS_URL": up.url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def call(up: Up, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """A command against `up` in this process, which costs a tenth; what it printed."""
    monkeypatch.setenv("NATS_URL", up.url)

    def call(*arguments: str, code: int = 0) -> str:
        assert main(arguments) == code, capsys.readouterr().err
        return capsys.readouterr().out

    return call


def test_an_order_from_its_start_to_its_end(run: Run, call: Call) -> None:
    """The README's transcript."""
    run("validate", "examples/order_approval.json", "--stages", "examples/order_stages.py")
    assert run("register", "order-approval", "examples/order_approval.json").stdout.startswith("order-approval@")
    started = run("start", "order-approval", "@examples/order.json", "--session", "order-117")
    assert started.stdout == "order-117\n"
    _until_asked(call, "order-117")
    assert run("input", "order-117", "approval", '{"approved": true, "by": "Grace"}').stdout == "approval: taken\n"

    watched = run("watch", "order-117").stdout.splitlines()

    assert "session_started" in watched[0]
    assert "session_completed" in watched[-1]
    assert run("history", "order-117").stdout.splitlines() == watched
    assert run("watch", "order-117", "--from", "100").stdout == ""


def test_what_became_of_an_input_is_said_as_it_is(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    call("start", str(EXAMPLES / "order_approval.json"), f"@{EXAMPLES / 'order.json'}", "--session", "asked")
    _until_asked(call, "asked")

    def outcome(*arguments: str) -> str:
        said: str = json.loads(call("input", "asked", *arguments, "--json"))["outcome"]
        return said

    kept = "kept, for nothing waits for it yet (`stageflow show asked` says what is waited for)"
    assert call("input", "asked", "approvel", "{}") == f"approvel: {kept}\n"
    assert outcome("approvel", "--id", "asked-2") == outcome("approvel", "--id", "asked-2") == "kept"
    assert outcome("approvel", "--no-wait") == "sent"
    assert outcome("command", '{"name": "pause"}') == "done"
    call("resume", "asked")
    assert main(["input", "asked", "approval", "7"]) == 1
    assert "7 is not of type 'object'" in capsys.readouterr().err
    assert outcome("approval", '{"approved": false}') == "taken"
    call("watch", "asked")
    assert main(["input", "asked", "approval", '{"approved": true}']) == 1
    assert "has ended (completed): it takes no inputs" in capsys.readouterr().err


def _until_asked(call: Call, session: str) -> None:
    deadline = time.monotonic() + 20
    while "waiting_for_input" not in call("history", session):
        assert time.monotonic() < deadline


def test_who_watches_what_has_not_begun_is_told_that_it_has_not(up: Up, call: Call) -> None:
    command = [*STAGEFLOW, "watch", "not-yet", "--server", up.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline() == "session not-yet has no events yet: waiting for its first\n"
        call("start", str(EXAMPLES / "count_up.json"), "--set", "goal=1", "--session", "not-yet")
        printed, _ = watching.communicate(timeout=30)
    assert "session_completed" in printed.splitlines()[-1]


def test_under_another_prefix_nobody_answers_and_that_is_named(run: Run) -> None:
    said = run("list", "--prefix", "elsewhere", code=3).stderr
    assert "no query service answers on elsewhere.query.session.list: none runs under the prefix 'elsewhere'" in said


def test_a_result_is_waited_for(run: Run) -> None:
    printed = run("start", "examples/count_up.json", "--set", "goal=3", "--wait").stdout
    assert "completed" in printed
    assert "counter = 3" in printed


def test_programs_get_json_lines(run: Run) -> None:
    watched = run("start", "examples/count_up.json", "--set", "goal=1", "--watch", "--json").stdout.splitlines()
    assert [json.loads(line)["n"] for line in watched] == list(range(1, len(watched) + 1))
    outcome = json.loads(run("start", "examples/count_up.json", "--set", "goal=1", "--wait", "--json").stdout)
    assert outcome["artifacts"] == {"counter": 1}


def test_a_failed_session_is_exit_code_1(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "doomed.json"
    file.write_text(json.dumps({"entry": "a", "nodes": [{"id": "a", "type": "stage", "stage": "FailStage"}]}))
    assert "session_failed" in run("start", str(file), "--watch", "--session", "doomed", code=1).stdout
    assert "failed" in run("start", str(file), "--wait", code=1).stderr
    assert "session_failed" in run("watch", "doomed", code=1).stdout
    behind = run("watch", "doomed", "--from", "100", code=1)
    assert (behind.stdout, "doomed failed" in behind.stderr) == ("", True)
    run("retry", "doomed")


def test_an_id_that_is_none_tells_of_no_other_sessions(call: Call) -> None:
    call("start", "examples/count_up.json", "--set", "goal=1", "--wait")
    for command in ("history", "watch", "show"):
        assert call(command, "*", code=1) == ""


def test_a_rejection_is_exit_code_1_with_every_problem(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.json"
    nodes = [{"id": "a", "type": "stage", "stage": "NoSuchStage", "next": "nowhere"}]
    file.write_text(json.dumps({"entry": "a", "nodes": nodes}))

    said = run("start", str(file), code=1).stderr.splitlines()
    told = json.loads(run("start", str(file), "--json", code=1).stderr)

    assert len(said) == 2
    assert {problem["path"] for problem in told["problems"]} == {"/nodes/0/stage", "/nodes/0/next"}


def test_a_session_is_paused_resumed_and_stopped_from_the_command_line(run: Run) -> None:
    run("start", "examples/order_approval.json", "@examples/order.json", "--session", "steered")
    assert run("pause", "steered", "--reason", "lunch").stdout == "pause: done\n"
    assert "paused" in run("pause", "steered", code=1).stderr
    run("resume", "steered")
    assert json.loads(run("stop", "steered", "--json").stdout)["action"] == "stop"
    assert "session_stopped" in run("history", "steered").stdout


def test_a_session_is_shown_and_listed(run: Run) -> None:
    run("start", "examples/order_approval.json", "@examples/order.json", "--session", "shown", "--label", "kind=shown")
    row = _until_waiting(run, "shown")
    assert row["waiting_for"] == ["approval"]
    assert "approval" in run("show", "shown").stdout
    assert "order" in run("show", "shown", "--at", "1", "--json").stdout
    assert json.loads(run("show", "shown", "--at", "1").stdout) == json.loads(
        run("show", "shown", "--at", "1", "--json").stdout
    )
    listed = [json.loads(line) for line in run("list", "--label", "kind=shown", "--json").stdout.splitlines()]
    assert [one["session"] for one in listed] == ["shown"]
    assert "shown" in run("list", "--status", "waiting").stdout
    counts = json.loads(run("list", "--count", "--json").stdout)
    assert counts["sessions"]["waiting"] >= 1
    assert run("list", "--count").stdout.splitlines()[-1].split()[0] == "all"
    assert "not found" in run("show", "nobody", code=1).stderr


def _until_waiting(run: Run, session: str) -> dict[str, list[str]]:
    """The session's row once the projection, which follows the events a moment later, has it waiting."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        listed = run("list", "--status", "waiting", "--limit", "0", "--json").stdout.splitlines()
        for row in map(json.loads, listed):
            if row["session"] == session:
                found: dict[str, list[str]] = row
                return found
    raise AssertionError(f"the projection never had {session} waiting")


def test_registered_pipelines_are_listed_shown_and_compared(run: Run) -> None:
    run("register", "counting", "examples/count_up.json")
    assert "counting@" in run("pipelines", "list").stdout
    assert json.loads(run("pipelines", "show", "counting", "--json").stdout)["entry"] == "begin"
    assert run("pipelines", "diff", "counting", "examples/count_up.json").stdout == ""
    assert '"entry": "each"' in run("pipelines", "diff", "counting", "examples/greetings.json", code=1).stdout
    run("pipelines", "show", "no-such-pipeline", code=1)


def test_a_version_is_named_by_its_digest_and_a_session_keeps_the_one_it_began_with(call: Call, tmp_path: Path) -> None:
    """Registering a new version disturbs nothing that runs."""
    quick = {"id": "quick", "type": "condition", "conditions": [{"if": {"var": "quick"}, "then": "end"}], "else": "ask"}
    ask = {"id": "ask", "type": "stage", "stage": "AskForApproval", "arguments": {"total": "t", "score": "s"}}
    for which in ("old", "new"):
        end = {"id": "end", "type": "terminal", "result": {"which": which}}
        document = {"entry": "quick", "nodes": [quick, {**ask, "next": "end"}, end]}
        (tmp_path / f"{which}.json").write_text(json.dumps(document))

    old = call("register", "versions", str(tmp_path / "old.json")).strip()
    call("start", "versions", "--session", "pinned")
    assert call("register", "versions", str(tmp_path / "new.json")).strip() != old

    for reference, which in (("versions", "new"), (old, "old")):
        ended = json.loads(call("start", reference, "--set", "quick=true", "--wait", "--json"))
        assert ended["result"] == {"which": which}
    call("input", "pinned", "approval", '{"approved": true}')
    assert json.loads(call("watch", "pinned", "--json").splitlines()[-1])["result"] == {"which": "old"}


def test_what_is_registered_and_what_a_session_runs_can_be_drawn(call: Call) -> None:
    name = call("register", "drawn", "examples/count_up.json").strip()
    call("start", "drawn", "--set", "goal=1", "--session", "drawn-1")
    assert "begin" in call("graph", name)
    assert json.loads(call("graph", "--session", "drawn-1", "--json"))["boxes"][0]["id"] == "begin"
    call("graph", "nothing-of-this-name", code=1)


def test_the_stages_are_listed(run: Run) -> None:
    assert "AskForApproval" in run("stages").stdout
    listed = [json.loads(line) for line in run("stages", "--json").stdout.splitlines()]
    assert {"AskForApproval", "SetValueStage"} <= {stage["stage_name"] for stage in listed}


def test_the_engines_alive_are_listed_with_what_they_made_durable(run: Run) -> None:
    (engine,) = [json.loads(line) for line in run("engines", "--json").stdout.splitlines()]
    assert engine["partitions"] > 0
    assert set(engine["commits"]) == {"events", "rounds", "seconds", "largest", "p50", "p99", "ever"}
    assert run("engines").stdout.split()[0] == "ENGINE"


def test_a_service_that_keeps_up_is_healthy(run: Run) -> None:
    assert run("health").stdout.startswith("status=ok")
    assert json.loads(run("health", "--json").stdout)["broken"] == 0


def test_up_serves_metrics_where_it_says(up: Up) -> None:
    with urlopen(up.metrics, timeout=20) as answer:
        found = numbers(answer.read(), openly=False)
    assert found["stageflow_engine_partitions", "up"] == 8
    assert {value for key, value in found.items() if key[0] == "stageflow_up"} == {1}


@pytest.mark.parametrize("arguments", ["show nobody", "history nobody", "pipelines show nobody", "graph nobody"])
def test_what_is_not_there_is_a_json_object_for_programs(
    call: Call, capsys: pytest.CaptureFixture[str], arguments: str
) -> None:
    assert main([*arguments.split(), "--json"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, json.loads(printed.err)["error"]) == ("", "not found")


@pytest.mark.parametrize("arguments", ["engines", "history s", "watch s", "pipelines list", "register n {example}"])
def test_a_prefix_without_an_engine_is_said(call: Call, capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    example = str(EXAMPLES / "count_up.json")
    assert main([*arguments.format(example=example).split(), "--prefix", "nobody"]) == 3
    assert "no engine has ever run" in capsys.readouterr().err


def test_there_is_no_event_before_the_first(call: Call) -> None:
    session = call("start", str(EXAMPLES / "count_up.json"), "--set", "goal=1").strip()
    call("show", session, "--at", "0", code=1)


def test_a_projection_is_rebuilt(run: Run, up: Up) -> None:
    run("start", "examples/count_up.json", "--set", "goal=1", "--wait", "--session", "before-rebuild")
    run("rebuild", "--db", str(up.directory / ".stageflow" / "projection.db"))
    assert json.loads(run("show", "before-rebuild", "--json").stdout)["status"] == "completed"


def test_an_answer_that_does_not_come_in_time_is_exit_code_4(run: Run) -> None:
    run("start", "examples/order_approval.json", "@examples/order.json", "--wait", "--timeout", "0.2", code=4)


def test_up_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What waits when it is stopped still waits when it is started again, and gets its answer."""

    def run(up: Up, *arguments: str) -> str:
        env = {**os.environ, "NATS_URL": up.url}
        return subprocess.run(
            [*STAGEFLOW, *arguments],
            cwd=EXAMPLES.parent,
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    first = Up(tmp_path)
    run(first, "start", "examples/order_approval.json", "@examples/order.json", "--session", "slow")
    assert first.stop() == (0, "")

    second = Up(tmp_path)
    try:
        run(second, "input", "slow", "approval", '{"approved": false}')
        assert "declined" in run(second, "watch", "slow")
    finally:
        assert second.stop() == (0, "")


def test_a_taken_port_is_one_line_and_exit_code_3(up: Up, tmp_path: Path) -> None:
    port = up.url.rsplit(":", 1)[1]
    done = subprocess.run([*STAGEFLOW, "up", "--port", port], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
