"""The questions a projection answers, as data in and JSON out.

Rows, lists and the newest state come from the tables; histories and earlier states from the stream, found by the
marks; definitions from the bus. Every fault of the asker is a `QueryProblem`.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from stageflow_es.engine.definitions import Library
from stageflow_es.engine.ports import Definitions, StoredEvent
from stageflow_es.errors import DefinitionError, OperatorError, Problem, StageFlowError
from stageflow_es.projection.feed import Histories
from stageflow_es.projection.reader import Filter, Place, Reader
from stageflow_es.projection.rows import Row
from stageflow_es.projection.state_view import state_view
from stageflow_es.session import ChainBroken, State, apply, snapshot
from stageflow_es.session.events import SessionStarted, decode

PAGE = 500
"""Events read at a time."""


class QueryProblem(StageFlowError):
    """A question that has no answer. `code` as in HTTP; `problems` says why."""

    def __init__(self, code: int, message: str, path: str = "") -> None:
        self.code = code
        self.problems = (Problem(path=path, message=message),)
        super().__init__(message)


class SessionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One session, as `session.get` and `session.list` have it. Times are RFC 3339, UTC."""

    session: str
    status: str
    pipeline: str | None
    digest: str
    version: int
    nodes: msgspec.Raw
    waiting_for: msgspec.Raw
    result: msgspec.Raw
    artifacts: msgspec.Raw
    error: msgspec.Raw
    labels: msgspec.Raw
    started_at: str | None
    updated_at: str | None
    finished_at: str | None


class ListAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list; `cursor` asks for the next, None: this is the last."""

    sessions: list[msgspec.Raw]
    cursor: str | None


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Events as they are stored; `next` is the number to go on from, None: there are no more now."""

    events: list[msgspec.Raw]
    next: int | None


class Queries:
    """Answers questions. `largest`: bytes an answer may have; longer lists and histories are cut into more pages."""

    def __init__(self, reader: Reader, histories: Histories, definitions: Definitions, *, largest: int) -> None:
        self._reader = reader
        self._histories = histories
        self._definitions = definitions
        self._library = Library(definitions)
        self._largest = largest

    async def get(self, session: str) -> bytes:
        """A session's row."""
        return _answer_of(await self._row(session))

    async def list(self, wanted: Filter, limit: int, cursor: str | None) -> bytes:
        """A page of sessions, the latest started first."""
        if wanted.pipeline is not None and wanted.digest is not None:
            found = await self._reader.versions(wanted.pipeline, wanted.digest)
            if len(found) > 1:
                message = (
                    f"several versions of {wanted.pipeline!r} begin with {wanted.digest!r}: say more of the digest"
                )
                raise QueryProblem(400, message, "/pipeline")
            wanted = msgspec.structs.replace(wanted, digest=found[0] if found else wanted.digest)
        rows = await self._reader.rows(wanted, None if cursor is None else _place(cursor), limit + 1)
        answers: list[msgspec.Raw] = []
        size = 0
        for row in rows[:limit]:
            answer = _answer_of(row)
            size += len(answer) + 1
            if answers and size > self._largest:
                break
            answers.append(msgspec.Raw(answer))
        more = len(answers) < len(rows)
        page = ListAnswer(sessions=answers, cursor=_cursor(rows[len(answers) - 1]) if more else None)
        return msgspec.json.encode(page)

    async def count(self, pipeline: str | None, limit: int) -> bytes:
        """How many sessions have which status, by up to `limit` pipelines, those with most sessions first."""
        if pipeline is not None and "@" in pipeline:
            raise QueryProblem(
                400, "sessions are counted by a pipeline's name: leave @ and the digest out", "/pipeline"
            )
        return msgspec.json.encode(await self._reader.counts(pipeline, limit))

    async def history(self, session: str, start: int, limit: int) -> bytes:
        """Events from number `start` on. All there is of an archived session, asked for from 1 on, is its last event:
        who goes on from a later one is told so, and does not take what was purged for what never was."""
        events: list[msgspec.Raw] = []
        size, number = 0, start
        async for number, data in self._events(session, start, limit + 1):
            size += len(data) + 1
            if len(events) == limit or (events and size > self._largest):
                return msgspec.json.encode(HistoryAnswer(events=events, next=number))
            events.append(msgspec.Raw(data))
        if not events and not await self._known(session):
            raise _unknown(session)
        return msgspec.json.encode(HistoryAnswer(events=events, next=None))

    async def state(self, session: str, at: int | None) -> bytes:
        """The state as of event `at`, or the newest, context included."""
        state = await self._newest(session) if at is None else await self._state_at(session, at)
        return msgspec.json.encode(state_view(state))

    async def snapshot(self, session: str) -> bytes:
        """The newest state as an engine loads it."""
        found = await self._reader.snapshot(session)
        if found is None or found[1] is None:
            raise _unknown(session)
        return found[1]

    async def pipeline(self, reference: str) -> bytes:
        """A definition by `name`, `name@digest` (or the digest's beginning), or digest."""
        name, _, wanted = reference.partition("@")
        versions = await self._definitions.versions(name)
        if wanted:
            found = sorted({digest for digest in versions if digest.startswith(wanted)})
            digest = found[0] if len(found) == 1 else None
        else:
            digest = await self._definitions.resolve(name)
        data = await self._definitions.get(digest or reference)
        if data is None:
            raise QueryProblem(404, f"there is no pipeline {reference!r}", "/pipeline")
        answer = {
            "name": name if digest else None,
            "digest": digest or reference,
            "versions": versions,
            "definition": msgspec.Raw(data),
        }
        return msgspec.json.encode(answer)

    async def pipelines(self) -> bytes:
        """Every registered name with the digest it points to now."""
        names = await self._definitions.names()
        listed = [{"name": name, "digest": digest} for name, digest in sorted(names.items())]
        return msgspec.json.encode({"pipelines": listed})

    # --- the parts ---

    async def _row(self, session: str) -> Row:
        row = await self._reader.row(session)
        if row is None:
            raise _unknown(session)
        return row

    async def _known(self, session: str) -> bool:
        return await self._histories.next(session, 0) is not None

    async def _events(self, session: str, start: int, wanted: int) -> AsyncIterator[tuple[int, bytes]]:
        """Events from number `start` on, each with its number; the asker has enough of them with `wanted`. Raises
        QueryProblem where those that come next were purged."""
        after, first = await self._reader.before(session, start)
        due = start
        async for event in self._stored(session, after, start - first + wanted):
            head = _head_of(event)
            if head.n < start:
                continue
            if 1 < due < head.n and head.type == _ARCHIVED:
                raise _archived(session, head.n, "/session")
            yield head.n, event.data
            due = head.n + 1

    async def _stored(self, session: str, after: int, wanted: int) -> AsyncIterator[StoredEvent]:
        """Events with a sequence above `after`: by the page of what is still wanted, and what follows a page that is
        not full is asked for by itself, for mostly nothing does."""
        while True:
            limit = min(PAGE, wanted) if wanted > 0 else PAGE
            stored = await self._histories.page(session, after, limit)
            wanted -= len(stored)
            for event in stored:
                yield event
                after = event.seq
            if len(stored) < limit:
                further = await self._histories.next(session, after)
                if further is None:
                    return
                yield further
                after = further.seq

    async def _newest(self, session: str) -> State:
        found = await self._reader.snapshot(session)
        if found is None:
            raise _unknown(session)
        row, image = found
        if image is None:
            raise QueryProblem(409, f"session {session} is broken from its first event on", "/session")
        return snapshot.load(image, await self._library.by_digest(row.digest) if row.digest else None)

    async def _state_at(self, session: str, at: int) -> State:
        state = State(session)
        try:
            async for number, data in self._events(session, 1, at):
                if number > at:
                    if not state.n:
                        raise _archived(session, number, "/at")
                    break
                if not state.n:
                    state = State(session, await self._pipeline_of(data))
                apply(state, data)
                if number == at:
                    break
                if number % PAGE == 0:
                    await asyncio.sleep(0)
        except ChainBroken as problem:
            raise QueryProblem(409, f"the history is broken: {problem}", "/session") from problem
        if not state.n and not await self._known(session):
            raise _unknown(session)
        if state.n != at:
            raise QueryProblem(404, f"session {session} has no event {at} (now)", "/at")
        return state

    async def _pipeline_of(self, data: bytes) -> Any:
        first = decode(data)
        if not isinstance(first, SessionStarted):
            return None
        try:
            return await self._library.by_digest(first.digest)
        except (OperatorError, DefinitionError) as problem:
            raise QueryProblem(409, f"the session's definition cannot be had: {problem}", "/session") from problem


class _Head(msgspec.Struct, frozen=True):
    n: int
    type: object = None


_head = msgspec.json.Decoder(_Head)
_ARCHIVED = "session_archived"


def _head_of(event: StoredEvent) -> _Head:
    try:
        return _head.decode(event.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as problem:
        message = f"stream sequence {event.seq} holds no event ({problem}): the history ends there"
        raise QueryProblem(409, message, "/session") from problem


def _unknown(session: str) -> QueryProblem:
    return QueryProblem(404, f"there is no session {session}", "/session")


def _archived(session: str, first: int, path: str) -> QueryProblem:
    return QueryProblem(410, f"session {session} is archived: events 1 to {first - 1} are in its export", path)


def _answer_of(row: Row) -> bytes:
    return msgspec.json.encode(
        SessionAnswer(
            session=row.session,
            status=row.status,
            pipeline=row.pipeline,
            digest=row.digest,
            version=row.version,
            nodes=msgspec.Raw(row.nodes),
            waiting_for=msgspec.Raw(row.waiting_for),
            result=msgspec.Raw(row.result or "null"),
            artifacts=msgspec.Raw(row.artifacts or "null"),
            error=msgspec.Raw(row.error or "null"),
            labels=msgspec.Raw(row.labels),
            started_at=row.started_at or None,
            updated_at=row.updated_at or None,
            finished_at=row.finished_at,
        )
    )


def _cursor(row: Row) -> str:
    return urlsafe_b64encode(msgspec.json.encode(Place(row.started_at, row.session))).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        return msgspec.json.decode(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
    except (ValueError, msgspec.MsgspecError) as problem:
        message = "this is no cursor of ours: use the one of the page before, or none"
        raise QueryProblem(400, message, "/cursor") from problem
