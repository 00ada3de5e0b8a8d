"""Questions as anyone may ask them: JSON bodies for the query service. Unknown fields are an error; nothing at all
means no fields.

`parse_question` never raises: what is wrong with a body comes back as problems with JSON pointers.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from stageflow_es.errors import Problem
from stageflow_es.pipeline.pointers import located
from stageflow_es.session.ids import SESSION_ID
from stageflow_es.session.wire import LABEL_NAME

T = TypeVar("T", bound="Question")

SessionId = Annotated[str, msgspec.Meta(pattern=rf"^{SESSION_ID.pattern}(?!\n)$")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Status = Literal["running", "waiting", "paused", "completed", "failed", "stopped", "archived", "broken"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all."""


class OneSession(Question, frozen=True, kw_only=True):
    session: SessionId


class ListSessions(Question, frozen=True, kw_only=True):
    """`pipeline`: `name`, or for one version `name@digest` (or the digest's beginning). `label`: `name=value`.
    `cursor`: where the page before ended."""

    status: Status | None = None
    pipeline: Annotated[str, msgspec.Meta(pattern="^[^@]", max_length=1024)] | None = None
    label: Annotated[str, msgspec.Meta(pattern=f"^{LABEL_NAME}=")] | None = None
    limit: Limit = 50
    cursor: Text | None = None


class CountSessions(Question, frozen=True, kw_only=True):
    """`limit`: pipelines to list."""

    pipeline: Text | None = None
    limit: Limit = 50


class ReadHistory(Question, frozen=True, kw_only=True, rename={"start": "from"}):
    session: SessionId
    start: Number = 1
    limit: Limit = 500


class ReadState(Question, frozen=True, kw_only=True):
    session: SessionId
    at: Number | None = None


class OnePipeline(Question, frozen=True, kw_only=True):
    """`pipeline`: `name`, `name@digest`, or a digest."""

    pipeline: Text


class Nothing(Question, frozen=True, kw_only=True):
    pass


QUESTIONS: dict[str, type[Question]] = {
    "session.get": OneSession,
    "session.list": ListSessions,
    "session.count": CountSessions,
    "session.history": ReadHistory,
    "session.state": ReadState,
    "session.snapshot": OneSession,
    "pipeline.get": OnePipeline,
    "pipeline.list": Nothing,
    "stages": Nothing,
    "health": Nothing,
}
"""What is asked on each subject, by its part after `<prefix>.query.`."""


def parse_question(body: bytes, type: type[T]) -> T | list[Problem]:
    """A question from its body, or what is wrong with it."""
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=type)
    except msgspec.ValidationError as problem:
        return [problem_of(problem)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        return [Problem(message=f"the body is not JSON: {problem}")]


def problem_of(problem: msgspec.ValidationError) -> Problem:
    """What is wrong with a question, and where."""
    path, message = located(problem)
    if path == "/label":
        message = "a label is asked for as name=value"
    elif path == "/pipeline":
        message = f"{message}: a pipeline is asked for by its name, or as name@digest"
    elif path == "/from":
        message = f"{message}: events are numbered from 1"
    return Problem(path=path, message=message)
