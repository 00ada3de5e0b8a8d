"""The state of one session: what its events add up to.

It is owned by whoever folds it and changed in place by `evolve`, so that a transition costs what it changes. Beside
the scope tree it keeps what is outstanding as indexes (`due`, `runs`, `timers`, `waits`), which the fold maintains
and an engine reads: nothing outstanding is remembered outside of the state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline import Pipeline
from stageflow_es.session.commands import RunId
from stageflow_es.session.events import BranchFailure, ErrorInfo
from stageflow_es.session.paths import Frame

Status = Literal["", "running", "waiting", "paused", "completed", "failed", "stopped", "archived"]
ScopeKind = Literal["root", "branch", "iteration", "child"]
TimerKind = Literal["wait", "sleep", "retry"]

ENDED: frozenset[str] = frozenset({"completed", "stopped", "archived"})
"""Outcomes that are final; `failed` is an outcome too, but `retry` reopens it."""

RECENT_COMMANDS = 64

EVOLVE_VERSION = 1
"""Raised whenever a fold of the same events gives another state, so that old snapshots are not used."""

HISTORY_VERSION = 1
"""Raised whenever histories come to hold what an earlier release cannot fold as it is meant: an event of a new type, a
field that matters. Engines of an earlier one leave the work to those of a later one from then on."""


class Record(msgspec.Struct, kw_only=True, gc=False):
    """What one durable call of a stage came to. `kind`: emit, step, wait, sleep. `open` while it is waited for;
    `alone` when the stage does nothing else meanwhile."""

    kind: str
    open: bool = False
    alone: bool = False
    value: Any = None
    wait: str | None = None
    timer: str | None = None


class Run(msgspec.Struct, kw_only=True, gc=False):
    """A stage in progress: its attempt, the arguments as they were when the cursor came, and its recorded calls.

    `blocked` counts what it waits for and does nothing else meanwhile: open calls made alone, and a retry's delay.
    """

    node: str
    visit: int
    attempt: int = 1
    failures: int = 0
    interruptions: int = 0
    arguments: dict[str, Any]
    missing: list[str] = []
    records: dict[str, Record] = {}
    retry_timer: str | None = None
    blocked: int = 0

    def id(self, scope: str) -> RunId:
        return RunId(scope, self.visit, self.attempt)


class Join(msgspec.Struct, kw_only=True, gc=False):
    """A parallel, map or subpipeline node in progress: who is still inside, and what the others came to."""

    open: dict[str, None] = {}
    succeeded: int = 0
    failures: list[BranchFailure] = []
    items: list[Any] = []
    outputs: list[dict[str, Any]] = []
    started: int = 0
    base: dict[str, Any] | None = None


class Scope:
    """One cursor: the root, a parallel branch, a map iteration, or a subpipeline."""

    __slots__ = (
        "error",
        "failure",
        "frame",
        "index",
        "join",
        "key",
        "kind",
        "node",
        "parent",
        "path",
        "pipeline",
        "run",
        "terminal",
        "visit",
    )

    def __init__(
        self,
        *,
        path: str,
        kind: ScopeKind,
        key: str,
        parent: str | None,
        pipeline: Pipeline,
        frame: Frame,
        index: int = 0,
    ) -> None:
        self.path = path
        self.kind = kind
        self.key = key
        self.parent = parent
        self.pipeline = pipeline
        self.frame = frame
        self.index = index
        self.node: str | None = None
        self.visit = 0
        self.terminal = False
        self.failure: ErrorInfo | None = None
        self.error: ErrorInfo | None = None
        self.run: Run | None = None
        self.join: Join | None = None


class Timer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An open timer: when it is due and which call of which run it belongs to (`key` is empty for a retry's delay)."""

    due: str
    kind: TimerKind
    scope: str
    key: str = ""
    n: int = 0


class Wait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An open wait for an input."""

    type: str
    scope: str
    key: str
    schema: Any = None
    timer: str | None = None


class BufferedInput(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An input nobody waited for yet. `n`: its event; `seq`: its command."""

    n: int
    seq: int
    payload: Any = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The last event refused a command: its rejection has to be published before anything else happens here."""

    command_seq: int
    problems: tuple[Problem, ...]
    command: dict[str, Any]


class State:
    """One session. Make it with the pipeline it is pinned to, then fold its events with `evolve`; one that does not
    exist yet (`n` 0) may be without.

    `n`, `head`: number and hash of the last event; `seq`: its stream sequence; `last_command`: the last command
    whose event is in here; `settled`: scopes whose join is decided and `due`: scopes whose next internal transition
    is ready, both oldest first; `runs`: stages in progress by scope; `inputs`: inputs still buffered by type.
    `touched`: scopes whose run may have begun, changed or ended, noted in order, and only for whoever puts a dict here
    and empties it. The scope of a node's event is; whatever changes the run of another one touches that.
    """

    __slots__ = (
        "archived",
        "artifacts",
        "blocked",
        "digest",
        "due",
        "error",
        "finished_at",
        "head",
        "input_history",
        "inputs",
        "labels",
        "last_command",
        "n",
        "outcome",
        "paused",
        "pipeline",
        "pipeline_name",
        "recent",
        "refusal",
        "result",
        "runs",
        "scopes",
        "seq",
        "session",
        "settled",
        "start_id",
        "started_at",
        "terminated",
        "timers",
        "touched",
        "transitions",
        "updated_at",
        "waits",
    )

    def __init__(self, session: str, pipeline: Pipeline | None = None) -> None:
        self.session = session
        if pipeline is not None:
            self.pipeline: Pipeline = pipeline
        self.pipeline_name: str | None = None
        self.digest = ""
        self.labels: dict[str, str] = {}
        self.n = 0
        self.head = ""
        self.seq = 0
        self.last_command = 0
        self.recent: list[str] = []
        self.start_id: str | None = None
        self.outcome: Literal["", "completed", "failed", "stopped", "archived"] = ""
        self.paused = False
        self.terminated = False
        self.transitions = 0
        self.scopes: dict[str, Scope] = {}
        self.due: dict[str, None] = {}
        self.settled: dict[str, None] = {}
        self.runs: dict[str, Run] = {}
        self.touched: dict[str, None] | None = None
        self.blocked = 0
        self.timers: dict[str, Timer] = {}
        self.waits: dict[str, Wait] = {}
        self.inputs: dict[str, list[BufferedInput]] = {}
        self.input_history: list[dict[str, Any]] = []
        self.refusal: Refusal | None = None
        self.result: dict[str, Any] | None = None
        self.artifacts: dict[str, Any] = {}
        self.error: ErrorInfo | None = None
        self.started_at = ""
        self.updated_at = ""
        self.finished_at: str | None = None
        self.archived: dict[str, Any] | None = None

    @property
    def root(self) -> Scope:
        return self.scopes[""]

    @property
    def ended(self) -> bool:
        """Whether no node transition can follow, now or after a retry."""
        return self.outcome in ENDED

    @property
    def active(self) -> bool:
        """Whether transitions may happen now: begun, without an outcome, not paused."""
        return self.n > 0 and not self.outcome and not self.paused

    def stirring(self) -> bool:
        """Whether an internal transition may be due."""
        if self.due or self.settled or self.terminated:
            return self.active
        # one that has ended may be archived and have no pipeline any more
        return not self.outcome and self.n > 0 and self.transitions > self.pipeline.max_transitions and not self.paused

    @property
    def status(self) -> Status:
        """`waiting` means: every stage in progress waits for an input or a timer, and nothing else is due."""
        if not self.n:
            return ""
        if self.outcome:
            return self.outcome
        if self.paused:
            return "paused"
        waiting = self.runs and self.blocked == len(self.runs) and not self.due and not self.settled
        return "waiting" if waiting else "running"

    def touch(self, scope: str) -> None:
        """Note that the run of a scope may have begun, changed or ended."""
        if self.touched is not None:
            self.touched[scope] = None

    def current_nodes(self) -> list[str]:
        """Where the cursors are, as readable paths, outermost first: `""`-scope nodes by id, others `scope:node`."""
        return [
            f"{scope.path}:{scope.node}" if scope.path else scope.node
            for scope in self.scopes.values()
            if scope.node is not None and scope.join is None
        ]

    def waiting_for(self) -> list[str]:
        """The input types open waits are for, each once, in the order the waits began."""
        return list(dict.fromkeys(wait.type for wait in self.waits.values()))

    def walk(self, path: str) -> Iterator[Scope]:
        """The scope at `path` and everything inside it, parents first."""
        scope = self.scopes[path]
        yield scope
        if scope.join:
            for inner in scope.join.open:
                yield from self.walk(inner)


T = TypeVar("T")


def keep_recent(kept: list[T], item: T) -> None:
    """Add to what is remembered of the latest commands, and forget what is too old. (A bounded deque takes more room
    than all the rest of a small session.)"""
    kept.append(item)
    if len(kept) > RECENT_COMMANDS:
        del kept[0]


def scope_path(parent: str, node: str, child: str | int | None = None) -> str:
    """The readable path of a scope: `review/approve`, `each[3]`, `child`; ids' own separators are escaped."""
    name = _escape(node)
    if isinstance(child, int):
        name = f"{name}[{child}]"
    elif child is not None:
        name = f"{name}/{_escape(child)}"
    return f"{parent}/{name}" if parent else name


def _escape(name: str) -> str:
    if name.isalnum():
        return name
    for char in "%/[]":
        name = name.replace(char, f"%{ord(char):02X}")
    return name
