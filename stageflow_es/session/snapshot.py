"""A state as bytes and back. The same state gives the same bytes; contexts shared in the tree are stored once.

A map's iterations share the context the map began with: it is stored once with the map, an iteration only by its own
writes. A snapshot says which fold made it; one of another version is not to be used.

The first event of a fork holds an image for good: fields of images are added, with a default, and never renamed.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.pipeline import MapNode, Pipeline
from stageflow_es.session import cursor
from stageflow_es.session.events import BranchFailure, ErrorInfo
from stageflow_es.session.paths import Frame
from stageflow_es.session.state import (
    EVOLVE_VERSION,
    RECENT_COMMANDS,
    BufferedInput,
    Join,
    Refusal,
    Run,
    Scope,
    ScopeKind,
    State,
    Timer,
    Wait,
)


class JoinImage(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    succeeded: int = 0
    failures: list[BranchFailure] = []
    items: list[Any] = []
    outputs: list[dict[str, Any]] = []
    started: int = 0
    base: dict[str, Any] | None = None


class ScopeImage(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    path: str
    kind: ScopeKind
    key: str = ""
    index: int = 0
    parent: str | None = None
    node: str | None = None
    visit: int = 0
    failure: ErrorInfo | None = None
    error: ErrorInfo | None = None
    run: Run | None = None
    join: JoinImage | None = None
    root: dict[str, Any] | None = None
    writes: list[tuple[str, Any]] = []


class Image(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Everything a state is, but its pipeline, which its digest pins."""

    version: int
    session: str
    n: int
    head: str
    seq: int
    digest: str
    pipeline_name: str | None = None
    labels: dict[str, str] = {}
    last_command: int = 0
    recent: list[str] = []
    start_id: str | None = None
    outcome: str = ""
    paused: bool = False
    terminated: bool = False
    transitions: int = 0
    scopes: list[ScopeImage] = []
    due: list[str] = []
    settled: list[str] = []
    runs: list[str] = []
    timers: dict[str, Timer] = {}
    waits: dict[str, Wait] = {}
    inputs: dict[str, list[BufferedInput]] = {}
    input_history: list[dict[str, Any]] = []
    refusal: Refusal | None = None
    result: dict[str, Any] | None = None
    artifacts: dict[str, Any] = {}
    error: ErrorInfo | None = None
    started_at: str = ""
    updated_at: str = ""
    finished_at: str | None = None
    archived: dict[str, Any] | None = None


_COPIED = (
    "session",
    "n",
    "head",
    "seq",
    "digest",
    "pipeline_name",
    "labels",
    "last_command",
    "start_id",
    "outcome",
    "paused",
    "terminated",
    "transitions",
    "timers",
    "waits",
    "inputs",
    "refusal",
    "result",
    "artifacts",
    "error",
    "started_at",
    "updated_at",
    "finished_at",
    "archived",
)
"""Fields that an image and a state have alike."""

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Image)


class WrongVersion(ValueError):
    """The snapshot was made by another version of the fold: replay the history instead."""


def dump(state: State) -> bytes:
    """The state as bytes (JSON)."""
    return _encoder.encode(image_of(state))


def image_of(state: State) -> Image:
    """The state as data, in the order of the image's fields: finding so many by their names would cost as much as all
    the rest."""
    return Image(
        EVOLVE_VERSION,
        state.session,
        state.n,
        state.head,
        state.seq,
        state.digest,
        state.pipeline_name,
        state.labels,
        state.last_command,
        list(state.recent),
        state.start_id,
        state.outcome,
        state.paused,
        state.terminated,
        state.transitions,
        [_scope_image(scope) for scope in state.scopes.values()],
        list(state.due),
        list(state.settled),
        list(state.runs),
        state.timers,
        state.waits,
        state.inputs,
        list(state.input_history),
        state.refusal,
        state.result,
        state.artifacts,
        state.error,
        state.started_at,
        state.updated_at,
        state.finished_at,
        state.archived,
    )


def _scope_image(scope: Scope) -> ScopeImage:
    own_root = scope.kind in ("root", "child")
    return ScopeImage(
        path=scope.path,
        kind=scope.kind,
        key=scope.key,
        index=scope.index,
        parent=scope.parent,
        node=scope.node,
        visit=scope.visit,
        failure=scope.failure,
        error=scope.error,
        run=scope.run,
        join=None if scope.join is None else _join_image(scope.join),
        root=scope.frame.root if own_root else None,
        writes=scope.frame.changes() if scope.kind == "iteration" else [],
    )


def _join_image(join: Join) -> JoinImage:
    return JoinImage(
        succeeded=join.succeeded,
        failures=join.failures,
        items=join.items,
        outputs=join.outputs,
        started=join.started,
        base=join.base,
    )


def load(data: bytes, pipeline: Pipeline | None) -> State:
    """The state that `dump` wrote. Raises WrongVersion, and `msgspec.MsgspecError` on bytes that are no snapshot."""
    image = _decoder.decode(data)
    if image.version != EVOLVE_VERSION:
        raise WrongVersion(f"snapshot version {image.version}, this release has {EVOLVE_VERSION}")
    return restored(image, pipeline)


def restored(image: Image, pipeline: Pipeline | None) -> State:
    """The state an image was made of."""
    state = State(image.session, pipeline)
    for name in _COPIED:
        setattr(state, name, getattr(image, name))
    state.recent = image.recent[-RECENT_COMMANDS:]
    state.input_history = image.input_history[-RECENT_COMMANDS:]
    for scope in image.scopes:
        _load_scope(state, scope)
    state.due = dict.fromkeys(image.due)
    state.settled = dict.fromkeys(image.settled)
    for path in image.runs:
        run = state.scopes[path].run
        assert run is not None
        state.runs[path] = run
    state.blocked = sum(run.blocked > 0 for run in state.runs.values())
    return state


def _load_scope(state: State, image: ScopeImage) -> None:
    """Rebuild one scope; its parent is there already, for a tree is stored parents first."""
    parent = None if image.parent is None else state.scopes[image.parent]
    scope = Scope(
        path=image.path,
        kind=image.kind,
        key=image.key,
        index=image.index,
        parent=image.parent,
        pipeline=_pipeline_of(state, image, parent),
        frame=_frame_of(image, parent),
    )
    scope.node, scope.visit, scope.run = image.node, image.visit, image.run
    scope.failure, scope.error = image.failure, image.error
    if image.join is not None:
        fields = {name: getattr(image.join, name) for name in image.join.__struct_fields__}
        scope.join = Join(open={}, **fields)
    state.scopes[scope.path] = scope
    if parent is not None:
        assert parent.join is not None
        parent.join.open[scope.path] = None


def _pipeline_of(state: State, image: ScopeImage, parent: Scope | None) -> Pipeline:
    if parent is None:
        return state.pipeline
    if image.kind != "child":
        return parent.pipeline
    node: Any = cursor.node_of(parent)
    return parent.pipeline.subpipelines[node.subpipeline_id]


def _frame_of(image: ScopeImage, parent: Scope | None) -> Frame:
    if parent is None or image.kind == "child":
        return Frame(image.root or {})
    if image.kind == "branch":
        return parent.frame
    node = cursor.node_of(parent)
    assert isinstance(node, MapNode)
    assert parent.join is not None
    frame = cursor.iteration_scope(parent, parent.join, node, image.index).frame
    for path, value in image.writes:
        frame.write(path, value)
    return frame
