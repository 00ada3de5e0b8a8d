"""What may be asked, as JSON bodies. Unknown fields are an error; nothing at all means no fields."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from stageflow_es.pipeline.pointers import located
from stageflow_es.projection.queries import QueryProblem
from stageflow_es.session.ids import SESSION_ID

LARGEST = 64 * 1024
"""Bytes of a question."""

T = TypeVar("T")

SessionId = Annotated[str, msgspec.Meta(pattern=rf"^{SESSION_ID.pattern}(?!\n)$")]
Limit = Annotated[int, msgspec.Meta(ge=1, le=500)]
Number = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all."""


class OneSession(Request, frozen=True, kw_only=True):
    session: SessionId


class ListSessions(Request, frozen=True, kw_only=True):
    """`label`: `name=value`. `cursor`: where the page before ended."""

    status: Literal["running", "waiting", "paused", "completed", "failed", "stopped", "archived", "broken"] | None = (
        None
    )
    pipeline: Text | None = None
    label: Annotated[str, msgspec.Meta(pattern="^[^=]+=", max_length=2048)] | None = None
    limit: Limit = 50
    cursor: Text | None = None


class CountSessions(Request, frozen=True, kw_only=True):
    """`limit`: pipelines to list."""

    pipeline: Text | None = None
    limit: Limit = 50


class ReadHistory(Request, frozen=True, kw_only=True, rename={"start": "from"}):
    session: SessionId
    start: Number = 1
    limit: Limit = 500


class ReadState(Request, frozen=True, kw_only=True):
    session: SessionId
    at: Number | None = None


class OnePipeline(Request, frozen=True, kw_only=True):
    """`pipeline`: `name`, `name@digest`, or a digest."""

    pipeline: Text


class Nothing(Request, frozen=True, kw_only=True):
    pass


def parse(body: bytes, type: type[T]) -> T:
    """A question from its body. Raises QueryProblem."""
    if len(body) > LARGEST:
        raise QueryProblem(413, f"a question has at most {LARGEST:,} bytes, this one has {len(body):,}")
    try:
        return msgspec.json.decode(body.strip() or b"{}", type=type)
    except msgspec.ValidationError as problem:
        path, message = located(problem)
        if path == "/label":
            message = "a label is asked for as name=value"
        raise QueryProblem(400, message, path) from problem
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise QueryProblem(400, f"the body is not JSON: {problem}") from problem
