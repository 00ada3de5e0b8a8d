"""Given events, when a command, then events: the core in a test, with a clock that only moves when told.

    Scenario(pipeline).when(start(total=5)).then("session_started")
        .when(completed(writes={"ok": True})).then(event("stage_completed", node="check"), "session_terminated", ...)

A `when` decides and evolves until nothing is due; `then` compares all the events that led to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from stageflow_es.engine.clock import rfc3339
from stageflow_es.errors import Problem
from stageflow_es.pipeline import Catalog, Pipeline
from stageflow_es.session import Refused, State, apply, decide, seal
from stageflow_es.session import commands as cmd
from stageflow_es.session import events as ev

START = datetime(2030, 1, 1, tzinfo=UTC)

Move = Callable[["Scenario"], cmd.AnyCommand]
"""What `when` takes: a command, made when it is its turn."""


class Scenario:
    """One session of one pipeline, folded from nothing. `stages` is what the deciding engine knows of them."""

    def __init__(self, pipeline: Pipeline | dict[str, Any], stages: Catalog | None = None) -> None:
        self.pipeline = pipeline if isinstance(pipeline, Pipeline) else Pipeline.from_dict(pipeline)
        self.stages: Catalog = stages or {}
        self.state = State("s", self.pipeline)
        self.history: list[bytes] = []
        self.refused: tuple[Problem, ...] = ()
        self.time = START
        self.commands = 0
        self._new: list[ev.Event] = []

    def given(self, *history: bytes) -> Scenario:
        """Fold stored events."""
        for data in history:
            apply(self.state, data)
            self.history.append(data)
        return self

    def after(self, seconds: float) -> Scenario:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)
        return self

    def when(self, *moves: Move | cmd.AnyCommand) -> Scenario:
        """Apply commands one after the other."""
        self._new = []
        for move in moves:
            command = move(self) if callable(move) else move
            self.apply(command)
        return self

    def apply(self, command: cmd.AnyCommand) -> None:
        while answer := decide(self.state, command, self.stages):
            assert not isinstance(answer, Refused)
            for event in answer:
                self.history.append(seal(self.state, event))
                self._new.append(event)
        if isinstance(answer, Refused):
            self.refused = answer.problems

    def then(self, *expected: str | dict[str, Any]) -> Scenario:
        """The events of the last `when`: a type's name, or fields (`event(...)`) that must be equal."""
        actual = [msgspec.to_builtins(new) for new in self._new]
        wanted = [{"type": item} if isinstance(item, str) else item for item in expected]
        shown = [
            {key: value for key, value in new.items() if key in want} for new, want in zip(actual, wanted, strict=False)
        ]
        shown += [{"type": new["type"]} for new in actual[len(wanted) :]]
        assert shown == wanted, f"\n  expected {wanted}\n  got      {shown}"
        return self

    @property
    def at(self) -> str:
        return rfc3339(self.time)

    def context(self) -> dict[str, Any]:
        """The root's context."""
        return self.state.root.frame.root

    def run_of(self, scope: str) -> cmd.RunId:
        return self.state.runs[scope].id(scope)

    def next_seq(self) -> int:
        self.commands += 1
        return self.commands


def event(type: str, **fields: Any) -> dict[str, Any]:
    """An expected event: its type and the fields that matter."""
    return {"type": type, **fields}


def start(id: str | None = None, paused: bool = False, **payload: Any) -> Move:
    return lambda s: cmd.Start(at=s.at, seq=s.next_seq(), id=id, payload=payload, paused=paused)


def sent(type: str, payload: Any = None, id: str | None = None) -> Move:
    """An input."""
    return lambda s: cmd.Input(at=s.at, seq=s.next_seq(), type=type, payload=payload, id=id)


def control(action: cmd.Action, scope: str | None = None, id: str | None = None) -> Move:
    return lambda s: cmd.Control(at=s.at, seq=s.next_seq(), action=action, scope=scope, id=id)


def completed(scope: str = "", writes: dict[str, Any] | None = None) -> Move:
    """The stage in a scope completes."""
    return lambda s: cmd.CompleteStage(at=s.at, run=s.run_of(scope), writes=writes or {})


def failed(scope: str = "", message: str = "boom", **fields: Any) -> Move:
    """The stage in a scope fails."""
    return lambda s: cmd.FailStage(at=s.at, run=s.run_of(scope), error_type="RuntimeError", message=message, **fields)


def waits(type: str, scope: str = "", key: str | None = None, **fields: Any) -> Move:
    """The stage in a scope waits for an input."""
    return lambda s: cmd.OpenWait(at=s.at, run=s.run_of(scope), key=key or f"wait:{type}:0", type=type, **fields)


def sleeps(seconds: float, scope: str = "", key: str = "sleep::0") -> Move:
    return lambda s: cmd.StartSleep(at=s.at, run=s.run_of(scope), key=key, seconds=seconds)


def steps(name: str, value: Any, scope: str = "") -> Move:
    """The stage in a scope records a step."""
    return lambda s: cmd.RecordStep(at=s.at, run=s.run_of(scope), key=f"step:{name}:0", name=name, value=value)


def emits(name: str, payload: Any, scope: str = "") -> Move:
    return lambda s: cmd.EmitEvent(at=s.at, run=s.run_of(scope), key=f"emit:{name}:0", name=name, payload=payload)


def interrupted(scope: str = "", limit: int = 3) -> Move:
    """The run in a scope was lost with its engine."""
    return lambda s: cmd.InterruptStage(
        at=s.at, run=s.run_of(scope), known=s.state.runs[scope].interruptions, limit=limit
    )


def fires(timer: str) -> Move:
    return lambda s: cmd.FireTimer(at=s.at, timer=timer)


def nothing() -> Move:
    """Time for what is due."""
    return lambda s: cmd.Advance(at=s.at)
