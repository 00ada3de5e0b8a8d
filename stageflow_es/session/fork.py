"""Forks: sessions that begin where another one stood. Pure; the engine reads the other one's history.

The first event of a fork holds the state it began from, so that its history stands alone. From there:

- what had happened has happened: the context, finished branches and items, kept inputs, and what running stages had
  recorded (steps, waits, emits);
- what was in progress is in progress: running stages run again, and are given what they had recorded; waits stay
  open; timers are set anew, with the time that was left of them as of that event;
- what had failed, the session with it or not yet, begins again, as after `retry`;
- whether the other session was paused does not matter: the start says whether the fork is;
- numbers begin anew: events and visits with 1, limits (transitions, interruptions) with none used.

`payload` replaces keys of the root's context. With it, or with another definition, the stages in progress are given
their arguments as the context has them now; items of a map that has begun keep the context the map began with.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline import MapNode, ParallelNode, Pipeline, StageNode, SubpipelineNode
from stageflow_es.session import cursor, evolve_session
from stageflow_es.session import events as ev
from stageflow_es.session.snapshot import Image, image_of, restored
from stageflow_es.session.state import Scope, State, scope_path

TAKEN_OVER = (
    "blocked",
    "due",
    "input_history",
    "inputs",
    "runs",
    "scopes",
    "settled",
    "terminated",
    "timers",
    "waits",
)
"""What of a state a fork begins with; all else of it begins as every session's does."""


def origin_of(state: State) -> ev.Origin:
    """What the first event of a fork says of the state it begins from. The state's place in its stream is left out."""
    image = msgspec.json.encode(msgspec.structs.replace(image_of(state), seq=0))
    return ev.Origin(session=state.session, n=state.n, head=state.head, state=msgspec.json.decode(image))


def check_origin(origin: ev.Origin, pipeline: Pipeline) -> None:
    """Raises ValueError when an origin does not hold the image of a state of its session that can be forked so."""
    image = msgspec.convert(origin.state, Image)
    if (image.session, image.n, image.head) != (origin.session, origin.n, origin.head):
        raise ValueError("the state a fork begins from is not of the event it names")
    state = restored(image, pipeline)
    if origin_of(state) != origin or objections(state, pipeline):
        raise ValueError("the state a fork begins from is none that can be forked")


# --- what may be forked ----------------------------------------------------------------------------------------


def objections(state: State, pipeline: Pipeline) -> list[Problem]:
    """Why a session that stands there cannot be forked with this pipeline; empty: it can."""
    match state.outcome:
        case "archived":
            message = f"session {state.session!r} is archived: its history is in its export"
            return [Problem(path="/fork/session", message=message)]
        case "completed" | "stopped":
            message = (
                f"session {state.session!r} was {state.outcome} by event {state.n}: nothing is left to run. "
                "Fork it at an earlier event"
            )
            return [Problem(path="/fork/at", message=message)]
        case _:
            same = pipeline.digest == state.digest
            return [] if same else _misfits(state, pipeline)


def _misfits(state: State, pipeline: Pipeline) -> list[Problem]:
    """Where another definition does not have what the session stands at."""
    found: list[Problem] = []
    homes: dict[str, Pipeline] = {"": pipeline}
    for scope in state.scopes.values():  # parents first
        home = homes.get(scope.path)
        if home is None or scope.node is None:
            continue
        problem = _misfit(scope, home)
        if problem is not None:
            where = f" (scope {scope.path!r})" if scope.path else ""
            found.append(Problem(path="/pipeline", message=f"node {scope.node!r}{where} {problem}"))
            continue
        node = home.node(scope.node)
        inner = home.subpipelines[node.subpipeline_id] if isinstance(node, SubpipelineNode) else home
        homes.update(dict.fromkeys(scope.join.open if scope.join else (), inner))
    return found


def _misfit(scope: Scope, home: Pipeline) -> str | None:
    """Why the definition does not fit a scope, or None."""
    assert scope.node is not None
    old, new = cursor.node_of(scope), home.nodes.get(scope.node)
    if new is None:
        return "is where the session stands, and not in this definition"
    if type(new) is not type(old):
        return f"is a {_kind(old)} in progress, and a {_kind(new)} in this definition"
    match old, new:
        case StageNode(), StageNode():
            recorded = scope.run is not None and scope.run.records
            if recorded and old.stage != new.stage:
                return f"runs {old.stage!r}, which has recorded calls, and {new.stage!r} in this definition"
        case ParallelNode(), ParallelNode():
            lost = sorted(set(_keys(scope)) - set(new.children))
            return f"has branches in progress that this definition has not: {', '.join(lost)}" if lost else None
        case MapNode(), MapNode() if scope.join is not None:
            if (old.item_path, old.index_path) != (new.item_path, new.index_path):
                return "has items in progress, and other paths for them in this definition"
        case SubpipelineNode(), SubpipelineNode() if scope.join is not None:
            if old.subpipeline_id != new.subpipeline_id:
                return f"is in subpipeline {old.subpipeline_id!r}, and is {new.subpipeline_id!r} in this definition"
    return None


def _keys(scope: Scope) -> list[str]:
    """The children of a parallel node that are in progress."""
    inner = scope.join.open if scope.join else {}
    assert scope.node is not None
    node = cursor.node_of(scope)
    assert isinstance(node, ParallelNode)
    return [child for child in node.children if scope_path(scope.path, node.id, child) in inner]


def _kind(node: Any) -> str:
    return str(node.__struct_config__.tag)


# --- the fold --------------------------------------------------------------------------------------------------


def started(state: State, event: ev.SessionStarted) -> None:
    """A session begins: at its definition's entry, or as a fork."""
    if event.fork is msgspec.UNSET:
        evolve_session.started(state, event)
        return
    state.pipeline_name, state.digest = event.pipeline, event.digest
    state.labels, state.paused = event.labels, event.paused
    state.start_id, state.started_at = event.command_id, event.at
    image = msgspec.convert(event.fork.state, Image)
    source = restored(image, state.pipeline)
    for name in TAKEN_OVER:
        setattr(state, name, getattr(source, name))
    _renumber(state, event.n, event.fork.n)
    _reopen(state, event, image.updated_at)
    if event.payload:
        state.root.frame.root = {**state.root.frame.root, **event.payload}
    if event.payload or image.digest != event.digest:
        _read_arguments(state, event.n)


def _renumber(state: State, n: int, forked_at: int) -> None:
    """Nothing taken over may be mistaken for what comes: visits are the first event's, waits have its number before
    theirs, and kept inputs are counted back from it: 0 is the event forked at, -1 the one before."""
    for scope in state.scopes.values():
        scope.visit = n
        if scope.run is not None:
            scope.run.visit, scope.run.interruptions = n, 0
    state.waits = {f"{n}-{name}": wait for name, wait in state.waits.items()}
    for name, wait in state.waits.items():
        state.runs[wait.scope].records[wait.key].wait = name
    state.inputs = {
        kind: [msgspec.structs.replace(item, n=item.n - forked_at) for item in kept]
        for kind, kept in state.inputs.items()
    }


def _reopen(state: State, event: ev.SessionStarted, stood_at: str) -> None:
    """Set the timers anew, and begin again what had failed."""
    passed = datetime.fromisoformat(event.at) - datetime.fromisoformat(stood_at)
    state.timers = {
        f"{event.n}-{name}": msgspec.structs.replace(timer, n=event.n, due=_later(timer.due, passed))
        for name, timer in state.timers.items()
    }
    for name, timer in state.timers.items():
        evolve_session.rename_timer(state, timer, name)
    for scope in list(state.scopes.values()):
        if scope.failure is not None:
            evolve_session.reenter(state, scope, event.n)


def _later(moment: str, by: timedelta) -> str:
    later = datetime.fromisoformat(moment) + max(by, timedelta())
    return later.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _read_arguments(state: State, n: int) -> None:
    for path, run in state.runs.items():
        scope = state.scopes[path]
        node = cursor.node_of(scope)
        assert isinstance(node, StageNode)
        fresh = cursor.new_run(scope, node, n)
        run.arguments, run.missing = fresh.arguments, fresh.missing
