"""How a session ended, from its last event."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stageflow_es.errors import SessionFailed
from stageflow_es.session import events as ev

Status = Literal["completed", "stopped", "archived"]

STOPPED = {"result": "stopped"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`result` and `artifacts` of the terminal the session reached; a stopped one's result is
    `{"result": "stopped"}`."""

    session: str
    status: Status
    result: dict[str, Any] | None = None
    artifacts: dict[str, Any] = {}
    version: int = 0


def outcome_of(event: object) -> Outcome | None:
    """The outcome an event brings, None: it ends nothing. Raises SessionFailed on a failure."""
    match event:
        case ev.SessionCompleted(session=session, n=n, result=result, artifacts=artifacts):
            return Outcome(session=session, status="completed", result=result, artifacts=artifacts, version=n)
        case ev.SessionStopped(session=session, n=n):
            return Outcome(session=session, status="stopped", result=dict(STOPPED), version=n)
        case ev.SessionArchived(session=session, n=n, summary=summary):
            result, artifacts = summary.get("result"), summary.get("artifacts") or {}
            return Outcome(session=session, status="archived", result=result, artifacts=artifacts, version=n)
        case ev.SessionFailed(session=session, error=error):
            raise SessionFailed(session, error)
        case _:
            return None
