"""What an explanation of a session has: what it waits for, why it failed, which way it went.

Times are RFC 3339, UTC; `since_n` is the event since when something is so. `explain` finds it out, `telling` puts it
into words.
"""

from __future__ import annotations

from typing import Any

import msgspec

from stageflow_es.session.events import ErrorInfo


class _Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Something a session waits for, and where."""

    node: str
    scope: str = ""


class WaitsForInput(_Part, frozen=True, kw_only=True, tag="input"):
    """A stage waits for an input; `schema` is what it must satisfy, `until` when the stage goes on without."""

    stage: str
    input_type: str
    schema: Any = None
    since: str
    since_n: int
    until: str | None = None


class WaitsForTimer(_Part, frozen=True, kw_only=True, tag="timer"):
    """A stage sleeps, or its next attempt is delayed (`attempt`), until `until`."""

    stage: str
    since: str
    since_n: int
    until: str
    attempt: int | None = None


class RunsStage(_Part, frozen=True, kw_only=True, tag="stage"):
    """A stage is to run or running. `attempts`: how many it may take, None: its class is not known here;
    `interruptions`: how often its engine was lost meanwhile."""

    stage: str
    attempt: int
    attempts: int | None = None
    since: str
    since_n: int
    interruptions: int = 0


class WaitsForBranches(_Part, frozen=True, kw_only=True, tag="join"):
    """A parallel node, a map or a subpipeline waits for what is `open` inside it: children, indexes of items, or the
    subpipeline's id. `ended` of `total` are over, `failed` of them badly; `policy` is a parallel node's."""

    type: str
    open: list[str]
    ended: int
    failed: int
    total: int
    policy: str | None = None
    since: str
    since_n: int


Waiting = WaitsForInput | WaitsForTimer | RunsStage | WaitsForBranches


class TriedRule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule as it was evaluated: the values its variables had, absent ones left out."""

    rule: Any
    truthy: bool | None
    variables: dict[str, Any]
    missing: list[str]


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A condition that was evaluated: the rules up to the one that decided, and where it led. `branch` None: else."""

    n: int
    node: str
    scope: str = ""
    rules: list[TriedRule]
    branch: int | None = None
    next: str | None = None
    error: ErrorInfo | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why the session failed. Where it was a stage that failed, with no fallback to go to: its name, and the errors of
    its `attempts` in that visit, oldest first."""

    n: int
    at: str
    error: ErrorInfo
    stage: str | None = None
    attempts: list[ErrorInfo] = []


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """An input nobody has waited for yet."""

    n: int
    input_type: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stands and why, as of event `n` at `since`. `paused_by`: the event that paused it, or `start`;
    `reason`: what was said when it was paused or stopped; `kept`: inputs nobody has waited for yet; `due`: an engine
    would go on at once."""

    session: str
    n: int
    status: str
    since: str
    paused_by: str | None
    due: bool
    waiting: list[Waiting]
    kept: list[Kept]
    failure: Failure | None
    choices: list[Choice]
    ended_at: str | None
    result: Any
    artifacts: dict[str, Any]
    reason: str | None
