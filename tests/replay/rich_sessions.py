"""Sessions for what the types of events alone do not show: policies, nesting, loops, forks with calls, the stone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from stageflow_es.pipeline import StageSpec
from stageflow_es.session import State
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev
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

TERMINAL = {"id": "end", "type": "terminal", "result": {"status": "done"}, "artifacts": ["v"]}


def stage(id: str, next: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "stage", "stage": "Do", "next": next, **fields}


LINE = {"entry": "a", "nodes": [stage("a", "b", outputs={"v": "v"}), stage("b", "end", arguments={"v": "v"}), TERMINAL]}
LENIENT = {
    "entry": "both",
    "nodes": [
        {
            "id": "both",
            "type": "parallel",
            "children": ["a", "b", "none"],
            "policy": "all",
            "cancel_on_error": False,
            "next": "each",
        },
        stage("a"),
        stage("b"),
        {"id": "none", "type": "map", "items": "nothing", "body": "a", "output_map": {"r": "empty"}, "next": None},
        {
            "id": "each",
            "type": "map",
            "items": "payload.items",
            "body": "item",
            "mode": "sequential",
            "item_path": "it.em",
            "index_path": "it.index",
            "output_map": {"r": "all.r", "missing": "all.missing"},
            "cancel_on_error": False,
            "next": "end",
        },
        stage("item", arguments={"x": "it.em", "i": "payload.it.index"}, outputs={"r": "r"}),
        TERMINAL,
    ],
}
STRICT = {
    "entry": "any",
    "nodes": [
        {
            "id": "any",
            "type": "parallel",
            "children": ["a", "deep"],
            "policy": "any",
            "cancel_on_error": True,
            "next": "end",
        },
        stage("a"),
        {"id": "deep", "type": "subpipeline", "subpipeline_id": "outer", "inputs": {"rows": "rows"}},
        TERMINAL,
    ],
    "subpipelines": {
        "outer": {
            "entry": "rows",
            "nodes": [
                {"id": "rows", "type": "map", "items": "rows", "body": "cells", "mode": "parallel", "next": "done"},
                {"id": "cells", "type": "map", "items": "item", "body": "sub", "mode": "parallel", "item_path": "cell"},
                {
                    "id": "sub",
                    "type": "subpipeline",
                    "subpipeline_id": "inner",
                    "inputs": {"v": "cell"},
                    "result_output": "was",
                },
                {"id": "done", "type": "terminal", "result": {"was": "done"}},
            ],
            "subpipelines": {"inner": LINE},
        }
    },
}
LOOP = {
    "entry": "try",
    "max_transitions": 12,
    "nodes": [
        stage("try", "again", outputs={"v": "n"}),
        {
            "id": "again",
            "type": "condition",
            "conditions": [
                {"if": {"<": [{"var": "payload.n"}, {"var": ["limit", 3]}]}, "then": "try"},
                {
                    "if": {"and": [{"!": {"missing": ["n"]}}, {"some": [{"var": "l"}, {">": [{"var": ""}, 1]}]}]},
                    "then": "end",
                },
            ],
        },
        TERMINAL,
    ],
}
BRANCHES = {
    "entry": "all",
    "nodes": [
        {"id": "all", "type": "parallel", "children": ["a", "b", "c", "d"], "policy": "all", "next": "end"},
        stage("a", fallback="mend", next="pick"),
        stage("b"),
        stage("c"),
        {"id": "d", "type": "parallel", "children": ["e"], "policy": "all"},
        {"id": "e", "type": "terminal", "result": {"was": "e"}, "artifacts": ["items"]},
        stage("mend", "pick", outputs={"v": "v"}),
        {"id": "pick", "type": "condition", "conditions": [{"if": {"var": "v"}, "then": "end"}], "else": "end"},
        TERMINAL,
    ],
}
FAILING = {
    "entry": "all",
    "nodes": [
        {
            "id": "all",
            "type": "parallel",
            "children": ["inside", "items", "sub", "fine"],
            "policy": "all",
            "cancel_on_error": False,
            "next": "rest",
        },
        {"id": "inside", "type": "parallel", "children": ["x", "y"], "policy": "all"},
        stage("x"),
        stage("y"),
        {"id": "items", "type": "map", "items": "items", "body": "x", "mode": "sequential"},
        {"id": "sub", "type": "subpipeline", "subpipeline_id": "inner", "next": None},
        {"id": "fine", "type": "subpipeline", "subpipeline_id": "quick", "result_output": "q", "next": "after"},
        {"id": "after", "type": "terminal"},
        stage("rest", "end"),
        TERMINAL,
    ],
    "subpipelines": {
        "inner": LINE,
        "quick": {"entry": "e", "nodes": [{"id": "e", "type": "terminal", "result": {"quick": True}, "artifacts": []}]},
    },
}

INSIDE = {
    "entry": "sub",
    "nodes": [
        {"id": "sub", "type": "subpipeline", "subpipeline_id": "each", "inputs": {"items": "items"}, "next": "end"},
        TERMINAL,
    ],
    "subpipelines": {
        "each": {
            "entry": "each",
            "nodes": [
                {"id": "each", "type": "map", "items": "items", "body": "item", "mode": "parallel", "next": "done"},
                stage("item", outputs={"r": "r"}),
                {"id": "done", "type": "terminal"},
            ],
        }
    },
}


def steer(action: cmd.Action, reason: str, scope: str | None = None) -> Move:
    return lambda s: cmd.Control(at=s.at, by="e-2", seq=s.next_seq(), action=action, scope=scope, reason=reason)


def lenient() -> Scenario:
    s = Scenario(LENIENT).when(start(items=[1, 2, 3], nothing=[]))
    s.when(failed("both/a", "no"), completed("both/b"))
    s.when(completed("each[0]", {"r": "one"}), failed("each[1]", "two is bad"), completed("each[2]", {"r": [3]}))
    return s.when(nothing())


def strict() -> Scenario:
    """A failure deep inside, whose siblings are frozen and go on after the retry with what they had done."""
    s = Scenario(STRICT).when(start(rows=[[1, 2], [3]]))
    s.when(*(completed(scope, {"v": scope}) for scope in list(s.state.runs)[1:3]))
    deepest = list(s.state.runs)[-1]
    s.when(steps("kept", {"s": 1}, deepest), failed(deepest, "deep down"))
    s.when(control("retry"))
    for _ in range(3):
        s.when(*(completed(scope, {"v": 1}) for scope in list(s.state.runs) if scope != "any/a"))
    return s


def runaway() -> Scenario:
    s = Scenario(LOOP).when(start(limit=100, l=[]))
    for n in range(6):
        if s.state.runs:
            s.when(completed(writes={"n": n}))
    return s


def no_way_on() -> Scenario:
    return Scenario(LOOP).when(start(l=[0]), completed(writes={"n": 1}), completed(writes={"n": 7}))


def named() -> Scenario:
    def begin(s: Scenario) -> cmd.Start:
        labels = {"customer": "Zoë", "": "empty"}
        return cmd.Start(
            at=s.at, by="e-1", seq=s.next_seq(), id="i-1", pipeline="line@1", payload={}, labels=labels, paused=True
        )

    s = Scenario(LINE, {"Do": StageSpec(stage_name="Do", skipable=True)})
    s.when(begin, steer("pause", "twice"), steer("resume", "looked at it"), steer("pause", "wait"))
    s.when(completed(writes={"v": 1}), sent("approval", [1], id="early"), steer("resume", "now"))
    return s.when(steer("skip", "not there", scope="nowhere"), steer("skip", "enough", scope=""))


def alone_or_not() -> Scenario:
    s = Scenario(LINE).when(start(), waits("a", alone=False), sent("a", 1), waits("b", alone=True, timeout=5.0))
    s.when(lambda s: cmd.StartSleep(at=s.at, run=s.run_of(""), key="sleep::0", seconds=0.25, alone=False))
    s.when(fires(next(timer for timer, it in s.state.timers.items() if it.kind != "wait")), sent("b", {"x": None}))
    return s.when(completed(writes={"v": 1}), completed())


def forked_while_waiting() -> Scenario:
    s = Scenario(LINE).when(start(v=1), steps("open", {"t": 7}), emits("asked", {}), waits("a", timeout=60.0))
    s.when(sent("kept", 1), sent("kept", 2))
    s.after(20)
    f = Scenario({**LINE, "max_transitions": 50})
    f.time = s.time
    f.state = State("f", f.pipeline)
    origin = origin_of(s.state)
    f.when(lambda f: cmd.Start(at=f.at, seq=f.next_seq(), payload={"v": "mended"}, fork=origin, paused=True))
    f.when(control("resume"), sent("a", True), sleeps(2.0), waits("kept"))
    return f.when(fires(next(iter(f.state.timers))), completed(writes={"v": 2}), completed(), nothing())


def by(engine: str, move: Move) -> Move:
    """The same, from an engine with a name."""
    return lambda s: msgspec.structs.replace(move(s), by=engine)


def in_branches() -> Scenario:
    """Whatever can happen in a branch, on engines with names."""
    s = Scenario(BRANCHES, {"Do": StageSpec(stage_name="Do", skipable=True)}).when(by("e1", start(id="i", items=[1])))
    a, b, c = "all/a", "all/b", "all/c"
    s.when(
        by("e1", steps("s", 1, a)),
        by("e1", emits("e", {"x": 1}, a)),
        by("e1", sleeps(1.0, a)),
        by("e1", waits("q", b, schema={"type": "string"}, timeout=9.0)),
        by("e2", sent("q", 7, id="bad")),
        by("e2", interrupted(c)),
        by("e2", failed(c, timed_out=True, retries=2, delay=1.5)),
    )
    for kind in ("sleep", "wait", "retry"):
        timers = [timer for timer, it in s.state.timers.items() if it.kind == kind]
        s.when(*(by("e3", fires(timer)) for timer in timers))
    s.when(by("e3", completed(b)), by("e3", failed(a, "to the fallback")), by("e3", completed("all/a", {"v": 3})))
    return s.when(by("e3", control("skip", c, id="skip-c")), by("e3", nothing()))


def failed_inside() -> Scenario:
    """Nodes that fail inside something that goes on."""
    s = Scenario(FAILING).when(start(items=[1, 2]))
    s.when(failed("all/inside/inside/x", "x"), failed("all/items/items[0]", "item"), failed("all/sub/sub", "sub"))
    return s.when(by("e", nothing()), by("e", completed()), control("stop"))


def attempts() -> Scenario:
    """A stage that succeeds the third time, inside a map inside a subpipeline, on an engine with a name."""
    s = Scenario(INSIDE).when(by("e", start(items=["x"])))
    scope = next(iter(s.state.runs))
    again = by("e", failed(scope, retries=2))
    s.when(again, again, by("e", interrupted(scope)), by("e", sent("unasked")), by("e", completed(scope, {"r": 1})))
    return s


def given_up_and_steered() -> Scenario:
    s = Scenario(LINE).when(by("e", start()), by("e", failed(message="no")))
    s.when(steer("retry", "mended"), by("e", control("pause", id="p")), by("e", control("resume", id="r")))
    s.when(by("e", sent("command", {"name": "explode"}, id="x")), by("e", control("skip", id="no")))
    return s.when(steer("stop", "enough"))


def archived() -> Scenario:
    """The stone at the end of a history that is not purged yet."""
    s = Scenario(LINE).when(start(id="i"), completed(writes={"v": 1}), completed())
    state = s.state
    stone = ev.SessionArchived(
        session="s",
        n=state.n + 1,
        at=s.at,
        by="archive",
        prev=state.head,
        head=state.head,
        count=state.n,
        last_command=state.last_command,
        start_id=state.start_id,
        export_digest="0" * 64,
        summary={"status": "completed", "artifacts": {"v": 1}},
    )
    return s.given(ev.encode(stone))


RICH: dict[str, Callable[[], Scenario]] = {
    make.__name__: make
    for make in (
        in_branches,
        failed_inside,
        attempts,
        given_up_and_steered,
        lenient,
        strict,
        runaway,
        no_way_on,
        named,
        alone_or_not,
        forked_while_waiting,
        archived,
    )
}
