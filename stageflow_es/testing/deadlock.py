"""The end of a test in which everybody waits for what cannot come: who waits, where, and for what."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from stageflow_es.audit import HistoryBroken, explain_history
from stageflow_es.engine.local import Session
from stageflow_es.errors import StageFlowError
from stageflow_es.session.telling import tell


class Deadlock(StageFlowError, AssertionError):
    """Nothing can happen any more: no timer is set and nobody is at work, but the test has not ended."""


def describe(loop: asyncio.AbstractEventLoop, sessions: Iterable[Session], outside: Sequence[str]) -> str:
    """Who waits for what, a line each."""
    lines = ["nothing can happen any more: no timer is set, and nothing is under way that could end the waiting"]
    for session in sorted(sessions, key=lambda session: session.id):
        lines += [f"session {session.id}: {said}" for said in _standing(session)]
    tasks = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    lines += [f"task {task.get_name()} waits {place}" for task in tasks if (place := _place(task))]
    return "\n  ".join(lines + [f"silent: {name}" for name in outside])


def _standing(session: Session) -> list[str]:
    try:
        explanation = explain_history(session.events, session.pipeline)
    except (HistoryBroken, ValueError):  # it goes on from a snapshot: the beginning of its history is elsewhere
        return [f"{session.status}, waiting for inputs: {', '.join(session.waiting_for) or 'none'}"]
    return tell(msgspec.structs.replace(explanation, choices=[]))


def _place(task: asyncio.Task[object]) -> str:
    """Where a user's task waits; empty for one that a session began, and has told of."""
    stack = task.get_stack(limit=1)
    if not stack or task.get_name().startswith(("session ", "stage ")):
        return ""
    code = stack[-1].f_code
    if code is Session.run.__code__:
        return ""
    return f"at {code.co_filename}:{stack[-1].f_lineno}, in {code.co_name}"
