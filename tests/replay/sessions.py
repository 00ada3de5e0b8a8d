"""Sessions that between them have every type of event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stageflow_es.errors import Problem
from stageflow_es.pipeline import StageSpec
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session.fork import origin_of
from stageflow_es.testing.scenario import (
    Move,
    Scenario,
    completed,
    control,
    emits,
    failed,
    fires,
    interrupted,
    nothing,
    sent,
    sleeps,
    start,
    steps,
    waits,
)


def stage(id: str, next: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "Do", "next": next, **fields}


END = {"id": "end", "type": "terminal", "result": {"status": "done"}, "artifacts": ["v"]}
LINE = {"entry": "a", "nodes": [stage("a", "b", outputs={"v": "v"}), stage("b", "end", arguments={"v": "v"}), END]}
CHOICE = {
    "entry": "ask",
    "nodes": [
        stage("ask", "big", outputs={"v": "v"}, fallback="mend"),
        {
            "id": "big",
            "type": "condition",
            "conditions": [
                {"if": {">": [{"var": "v"}, 100]}, "then": "end"},
                {"if": {"in": [{"var": "kind"}, ["gift", "sample"]]}, "then": "mend"},
            ],
            "else": "end",
        },
        stage("mend", "end", arguments={"error": "$error"}),
        END,
    ],
}
NESTED = {
    "entry": "both",
    "nodes": [
        {"id": "both", "type": "parallel", "children": ["each", "sub", "a"], "policy": "all", "next": "end"},
        {
            "id": "each",
            "type": "map",
            "items": "items",
            "body": "item",
            "mode": "parallel",
            "max_concurrency": 2,
            "output_map": {"r": "all"},
        },
        stage("item", arguments={"x": "item"}, outputs={"r": "r"}),
        {
            "id": "sub",
            "type": "subpipeline",
            "subpipeline_id": "inner",
            "inputs": {"v": "v"},
            "artifact_outputs": {"v": "v"},
            "result_output": "inner",
        },
        stage("a"),
        END,
    ],
    "subpipelines": {"inner": LINE},
}
ANY = {
    "entry": "first",
    "nodes": [
        {"id": "first", "type": "parallel", "children": ["a", "b"], "policy": "any", "next": "end"},
        stage("a"),
        stage("b"),
        END,
    ],
}


def tell(s: Scenario, type: str, payload: Any) -> cmd.Input:
    return cmd.Input(at=s.at, seq=s.next_seq(), type=type, payload=payload, id=f"input-{s.commands}")


def refuse(s: Scenario) -> cmd.Refuse:
    return cmd.Refuse(
        at=s.at, seq=s.next_seq(), problems=(Problem(path="/action", message="no action"),), body={"action": "jump"}
    )


def later(seconds: float, move: Move) -> Move:
    return lambda s: move(s.after(seconds))


def line() -> Scenario:
    s = Scenario(LINE).when(start(id="start-1", v=1, name="Zoë \u2028 \U0001f600", big=2**53, small=-0.5e-9))
    return s.when(later(1.5, completed(writes={"v": [1, {"two": None}, 3.25]})), later(60, completed()))


def choice() -> Scenario:
    return Scenario(CHOICE).when(start(kind="gift"), completed(writes={"v": 99}), completed())


def nested() -> Scenario:
    s = Scenario(NESTED).when(start(items=["x", {"y": 1}, None], v=0))
    s.when(
        completed("both/each/each[1]", {"r": 2}),
        completed("both/each/each[0]", {"r": 1}),
        completed("both/each/each[2]", {"r": 3}),
    )
    return s.when(completed("both/sub/sub", {"v": 7}), completed("both/sub/sub"), completed("both/a"))


def any_of_two() -> Scenario:
    return Scenario(ANY).when(start(), failed("first/a", "no luck"), completed("first/b", {"v": "b"}))


def calls() -> Scenario:
    s = Scenario(CHOICE).when(start())
    s.when(steps("open", {"ticket": 7}), emits("asked", {"ticket": 7}), sleeps(60), later(60, fires("t4")))
    schema = {"type": "object", "required": ["approved"]}
    s.when(waits("approval", schema=schema, timeout=3600.0), interrupted())
    s.when(lambda s: tell(s, "approval", {"no": 1}), lambda s: tell(s, "other", None))
    return s.when(lambda s: tell(s, "approval", {"approved": True}), completed(writes={"v": 1}))


def late() -> Scenario:
    s = Scenario(LINE).when(start(), waits("approval", timeout=30.0))
    return s.when(later(30, fires(next(iter(s.state.timers)))), completed(writes={"v": 1}), completed())


def kept() -> Scenario:
    s = Scenario(LINE).when(start(), sent("approval", {"approved": 1}), sent("approval", {"approved": True}))
    schema = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
    return s.when(waits("approval", schema=schema), completed(writes={"v": 1}), completed())


def failing() -> Scenario:
    s = Scenario(CHOICE).when(start(), failed(retries=2, delay=5.0, backoff=2.0))
    s.when(later(5, fires("t2")), failed(retries=1, timed_out=True))
    return s.when(failed(message="and again"), control("retry"), completed(writes={"v": 1}))


def lost() -> Scenario:
    s = Scenario(LINE).when(start(), interrupted(), interrupted(), interrupted(), interrupted())
    return s.when(control("retry", id="again"), completed(writes={"v": 1}), completed())


def steered() -> Scenario:
    s = Scenario(LINE, {"Do": StageSpec(stage_name="Do", skipable=True)}).when(start(paused=True), control("resume"))
    s.when(refuse, control("pause"), control("pause"), control("resume"), control("skip"))
    return s.when(control("stop", id="enough"), sent("approval"))


def unskipable() -> Scenario:
    return Scenario(LINE).when(start(), control("skip"), completed(writes={"v": 1}), completed())


def too_large() -> Scenario:
    s = Scenario(LINE).when(start(), completed(writes={"v": 1}), completed())
    s = Scenario(LINE).given(*s.history[:-1])
    return s.when(cmd.GiveUp(at=s.at, error_type=cmd.TOO_LARGE, message="the result is too large"))


def forked() -> Scenario:
    s = Scenario(LINE).when(start(v=1), completed(writes={"v": 2}))
    f = Scenario(s.pipeline)
    f.state = State("f", s.pipeline)
    origin = origin_of(s.state)
    f.when(lambda f: cmd.Start(at=f.at, seq=f.next_seq(), payload={"v": 3}, fork=origin))
    return f.when(completed(), nothing())


SESSIONS: dict[str, Callable[[], Scenario]] = {
    make.__name__: make
    for make in (
        line,
        choice,
        nested,
        any_of_two,
        calls,
        late,
        kept,
        failing,
        lost,
        steered,
        unskipable,
        too_large,
        forked,
    )
}
